from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from scgauge._core.checks import check_adata, check_finite, check_obs_key, check_obs_numbers
from scgauge._core.keys import HELD_OUT_TIME
from scgauge._core.matrix import as_rows, get_matrix, stored_values
from scgauge._core.optional import need
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge._core.stored_rows import take_cells
from scgauge.model._subject_field import is_cohort
from scgauge.model._time_law import grown_sources
from scgauge.tl._held_out_cohorts import (
    Around,
    Cloud,
    compared_cells,
    drawn_in_shares,
    halves,
    naive_clouds,
    scored_subjects,
    sizes_in_shares,
    subject_scores,
)
from scgauge.tl._held_out_scores import Space, floor_scores, naive_predictions, scores
from scgauge.tl._refit import fit_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def _held_out(adata: AnnData, time_key: str, times: Sequence[float] | None) -> list[float]:
    """Return the times to hold out, checked."""
    known = np.unique(check_obs_numbers(adata, time_key, argument="time_key"))
    if len(known) < 3:
        message = f"adata.obs[{time_key!r}] has {len(known)} times; at least 3 are needed to hold one out."
        raise ValueError(message)
    wanted = known[1:-1].tolist() if times is None else [float(time) for time in times]
    missing = sorted(set(wanted) - set(known.tolist()))
    if missing or not wanted:
        message = f"times={missing or times} are not among the times of adata.obs[{time_key!r}]: {known.tolist()}."
        raise ValueError(message)
    return wanted


def _neighbour(
    own: np.ndarray, rows: np.ndarray, time: float, growth: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return the rows of a snapshot, drawn in the shares that its cells have at another time if they grow."""
    return rows if growth is None else grown_sources(own, rows, growth, time, len(rows), rng)


class _HeldOut(NamedTuple):
    """All cells, which of them are for training, and a model that was trained on those."""

    fitted: Any
    x: Any
    own: np.ndarray
    growth: np.ndarray | None
    training: np.ndarray
    space: Space
    n_cells: int
    seed: int
    rng: np.random.Generator

    def around(self, time: float, rows: np.ndarray) -> Around:
        """Return the cells around a time among some training cells."""
        known = np.unique(self.own[rows])
        before, after = known[known < time], known[known > time]
        previous, following = (
            self.x[_neighbour(self.own, rows[self.own[rows] == times[i]], time, self.growth, self.rng)]
            if len(times)
            else None
            for times, i in ((before, -1), (after, 0))
        )
        weight = (time - before[-1]) / (after[0] - before[-1]) if len(before) and len(after) else 0.0
        return Around(previous, following, weight)

    def score_snapshots(self, time: float) -> dict[str, list]:
        """Return the scores of each prediction of a time."""
        space, seed = self.space, self.seed
        real = space.expression(self.x[self.own == time])
        around = self.around(time, np.flatnonzero(self.training))
        found = {"floor": floor_scores(space, real, seed)}
        for name, predicted in naive_predictions(space, *around, self.n_cells, self.rng):
            found[name] = scores(space, real, predicted, seed)
        cells = self.fitted.predict_state(times=[time], n_cells=self.n_cells, rng=int(self.rng.integers(2**31)))
        found["model"] = scores(space, real, space.expression(cells.X), seed)
        found["real"] = [("genes", "zero_fraction", float((real <= 0).mean()))]
        return found

    def score_cohorts(self, time: float, subject: np.ndarray, subject_key: str, held: list[float]) -> dict[str, list]:
        """Return the scores of each prediction of a time, made subject by subject."""
        space, seed = self.space, self.seed
        names = scored_subjects(subject, self.own, held, time)
        rows = np.flatnonzero((self.own == time) & np.isin(subject, names))
        real = Cloud(space.expression(self.x[rows]), subject[rows])
        sizes = sizes_in_shares(real.subject, names, self.n_cells)
        rows_of = {str(name): np.flatnonzero(self.training & (subject == name)) for name in names}
        around = {name: self.around(time, training) for name, training in rows_of.items()}
        clouds = naive_clouds(space, around, sizes, self.rng)
        cells = self.fitted.predict_state(times=[time], n_cells=int(sizes.max()), rng=int(self.rng.integers(2**31)))
        predicted = cells.obs[subject_key].astype(str).to_numpy()
        drawn = drawn_in_shares(predicted, names, sizes, self.rng)
        clouds["model"] = Cloud(space.expression(cells.X[drawn]), predicted[drawn])
        most = compared_cells(around, real.subject, sizes)
        one, other = halves(real, self.rng)
        found = {"floor": floor_scores(space, real.expression, seed) + subject_scores(space, one, other, most, seed)}
        for name, cloud in clouds.items():
            found[name] = scores(space, real.expression, cloud.expression, seed)
            found[name] += subject_scores(space, real, cloud, most, seed)
        found["real"] = [("genes", "zero_fraction", float((real.expression <= 0).mean()))]
        return found


def _subject_key_of_cohorts(registry: dict[str, Any]) -> str | None:
    """Return the column of the subjects of cohorts, ``None`` for snapshots; raise ValueError for individuals."""
    subject_key = registry.get("setup_args", {}).get("subject_key")
    if subject_key is not None and not is_cohort(registry):
        message = (
            "The model is one of individuals, who have no common times to hold out. Predict late visits from earlier "
            "ones: model.predict_state(earlier_visits, times=..., start='previous')"
        )
        raise ValueError(message)
    return subject_key


def _rows_of_one(
    adata: AnnData, x: Any, own: np.ndarray, held: list[float], model: Any, seed: int, n_cells: int
) -> list[tuple]:
    """Train without some times, predict them and score the predictions."""
    training = ~np.isin(own, held)
    fitted = fit_again(model, take_cells(adata, training), seed)
    if not hasattr(fitted, "predict_state") or not getattr(fitted, "is_trained", False):
        message = (
            f"`model` gave {type(fitted).__name__}; a trained model that predicts later cells is needed, such as "
            "scgauge.model.ODEVI."
        )
        raise TypeError(message)
    subject_key = _subject_key_of_cohorts(fitted.registry_)
    counts = fitted.module.spec.counts
    if counts and stored_values(x).min(initial=0) < 0:
        message = "Found negative values among the cells; a model of counts is scored on counts."
        raise ValueError(message)
    growth_key = fitted.registry_["setup_args"].get("growth_key")
    growth = None if growth_key is None else check_obs_numbers(adata, growth_key, argument="growth_key")
    space = Space.of(x[training], counts=counts)
    run = _HeldOut(fitted, x, own, growth, training, space, n_cells, seed, np.random.default_rng(seed))
    rows: list[tuple] = []
    for time in held:
        if subject_key is None:
            found = run.score_snapshots(time)
        else:
            subject = adata.obs[subject_key].astype(str).to_numpy()
            found = run.score_cohorts(time, subject, subject_key, held)
        rows += [(time, name, *row) for name, part in found.items() for row in part]
    return rows


def held_out_time(
    adata: AnnData,
    model: Any,
    *,
    time_key: str = "time",
    times: Sequence[float] | None = None,
    together: bool = False,
    n_cells: int = 2000,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = HELD_OUT_TIME,
    copy: bool = False,
) -> AnnData | None:
    """Refit a model without some times, predict them, and compare with what simple predictions reach.

    A model of dynamics is only worth its trouble if it predicts a snapshot that it has not seen better than a copy of a
    neighbouring one and than optimal-transport interpolation. Nothing of a held-out time is used before the scores:
    principal components and their scale come from the training cells. Choose genes on the training times, too, if the
    choice uses the counts. Where the model knows growth rates (`growth_key`), so do the simple predictions:
    neighbouring snapshots are drawn again in the shares that their cells have at the time held out.

    Of cohorts (`subject_key`, several cells of a subject at each time) a time is held out of all subjects. The simple
    predictions are made of each subject by itself, from its own cells at its own neighbouring times: the model knows
    whose cells it moves, so they should, too. All predictions have `n_cells` cells in the shares that the subjects have
    among the real ones. Clouds of all subjects together look alike if two subjects are mistaken for each other; so
    the distances of each subject's cells from its own predicted ones are scored as well. Subjects that are left with
    fewer than two times are left out of the scores.

    Parameters
    ----------
    adata
        Cells with counts in the matrix that the model reads.
    model
        Trained model of scgauge with real time, which is trained anew with its own arguments, or a function
        ``fit(adata, seed)`` that returns such a model.
    time_key
        Column of ``adata.obs`` with the times.
    times
        Times to hold out; all but the first and the last if ``None``. Times after all training times are forecasts.
    together
        Whether to hold out all of `times` at once; else one after another, each with a fit of its own.
    n_cells
        Cells to predict at each time.
    rng
        Seed or Generator of fits and draws.
    progress
        Whether to show a bar of the fits.
    key_added
        Key in ``adata.uns`` under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call.
        ``"scores"``: data frame with the columns ``time``; ``method``; ``space``; ``statistic``; ``value``. Methods:
        ``"floor"`` (one half of the real cells against the other), ``"copy_previous"``, ``"copy_next"``,
        ``"mixture"`` of both, ``"mean_shift"`` (the previous cells moved by the share of the difference of means),
        ``"optimal_transport"`` (interpolation of optimally coupled cells), ``"mean_cell"`` (one constant cell),
        ``"model"``; and ``"real"`` for the zero fraction. Spaces ``"pca5"`` and ``"pca20"``: ``"wasserstein"`` and
        ``"energy"`` (V-statistic), smaller is better. Space ``"genes"``: ``"energy"``, ``"variance_ratio"`` (1 is
        right), ``"zero_fraction"``, ``"auc"`` of a
        nearest-neighbour classifier (0.5 is right). Of cohorts also ``"subject_wasserstein"`` and ``"subject_energy"``
        in the spaces of components: means over subjects, which weigh alike, of distances between as many cells of each
        side for all methods. A prediction that some subject cannot have (of cells after its last time) is left out.

    Warns
    -----
    UserWarning
        If subjects of a cohort are left with fewer than two times.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``model`` is neither a function nor a model that knows how it was trained, or
        gives no trained model that predicts cells.
    KeyError
        If ``time_key``, or the column of the subjects of cohorts, does not exist.
    ValueError
        If there are fewer than three times or a time to hold out does not exist, the model is one of individuals at
        visits, no subject of a cohort has two times left, or cells that a model of counts is scored on have negative
        values.
    ImportError
        If POT is not installed.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(90, 30, times=(0, 1, 2), rng=0)
    >>> def fit(cells, seed):
    ...     scgauge.model.ODEVI.setup_anndata(cells, time_key="time")
    ...     model = scgauge.model.ODEVI(cells, n_latent=2)
    ...     model.train(max_epochs=2, plan_kwargs={"n_flow_steps": 5}, enable_progress_bar=False)
    ...     return model
    >>> scgauge.tl.held_out_time(adata, fit, n_cells=20, rng=0, progress=False)
    >>> adata.uns["held_out_time"]["scores"]["time"].unique()
    array([1.])
    """
    check_adata(adata)
    wanted = _held_out(adata, time_key, times)
    if not isinstance(n_cells, int | np.integer) or n_cells < 2:
        message = f"n_cells={n_cells!r} was given; an integer of at least 2 is needed."
        raise ValueError(message)
    registry = getattr(model, "registry_", {})
    setup = registry.get("setup_args", {})
    subject_key = _subject_key_of_cohorts(registry) if registry else None
    need("ot", extra="ot", purpose="the scores of held-out times")  # now, not after minutes of training
    check_finite(adata, setup.get("layer"))
    x = as_rows(get_matrix(adata, setup.get("layer")))
    own = check_obs_numbers(adata, time_key, argument="time_key")
    parts = [wanted] if together else [[time] for time in wanted]
    if subject_key is not None:  # now, not after minutes of training
        subject = check_obs_key(adata, subject_key, argument="subject_key").astype(str).to_numpy()
        for held in parts:
            for time in held:
                scored_subjects(subject, own, held, time, warn=False)
    seed = int(generator(rng).integers(2**31))
    rows: list[tuple] = []
    for held in tqdm(parts, disable=not progress, desc="Held-out times"):
        rows += _rows_of_one(adata, x, own, held, model, seed, n_cells)
    result = {
        "params": {
            "time_key": time_key, "times": wanted, "together": together, "n_cells": n_cells, "rng": rng,
        },
        "scores": pd.DataFrame(rows, columns=["time", "method", "space", "statistic", "value"]),
    }  # fmt: skip
    return store(adata, copy=copy, uns={key_added: result})
