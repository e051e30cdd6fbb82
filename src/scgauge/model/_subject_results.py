"""What a model of individuals can be asked: states between and after their visits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scgauge._core.adapter import adapt
from scgauge._core.draws import LikelihoodSampler
from scgauge._core.registry_keys import INSTRUMENT_KEY, SUBJECT_KEY, VISIT_KEY
from scgauge._core.rng import RNG, generator
from scgauge.model._subject_field import is_cohort
from scgauge.model._time_law import law_of
from scgauge.nn import States, carry, combine
from scgauge.nn._solve import steps_between

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike

#: Subjects that are followed at once.
_AT_ONCE = 256


class SubjectResults:
    """States of individuals, from all or some of their visits."""

    module: Any
    adata: Any
    registry_: dict[str, Any]
    _cells: Callable[..., Any]
    _times: Callable[..., np.ndarray]
    _scaled: Callable[..., np.ndarray]
    _check_times: Callable[..., np.ndarray]
    _baseline: Callable[..., Any]
    _posterior: Callable[..., Any]
    _registered: Callable[..., Any]
    _make_data_loader: Callable[..., Any]
    _tensor: Callable[..., torch.Tensor]

    @property
    def _subject_column(self) -> str | None:
        return self.registry_["setup_args"].get("subject_key")

    @property
    def _is_cohort(self) -> bool:
        return is_cohort(self.registry_)

    @property
    def _subject_key(self) -> str | None:
        """Column of the individuals at visits, ``None`` if the model has none."""
        return None if self._is_cohort else self._subject_column

    def _cohorts(self, adata: AnnData) -> list[np.ndarray]:
        """Return the rows of each subject's cells, in the order in which they appear; else all rows as one."""
        if not self._is_cohort:
            return [np.arange(adata.n_obs)]
        subject = self._registered(adata, SUBJECT_KEY).ravel()
        return [np.flatnonzero(subject == number) for number in pd.unique(subject)]

    @property
    def _instruments(self) -> list[str]:
        """Instrument of each item; empty without `instrument_key`."""
        field = self.registry_["field_registries"].get(SUBJECT_KEY, {})
        return list(field.get("state_registry", {}).get("instruments", ()))

    def _need_subjects(self) -> None:
        if self._subject_key is None:
            message = (
                "The model knows cells, no individuals at visits; see predict_state for where cells are at a time."
            )
            raise ValueError(message)

    def _first_rows(self, adata: AnnData, rows: np.ndarray) -> np.ndarray:
        """Return the row of the first visit of each subject among some rows, in the order in which they appear."""
        subject = self._registered(adata, SUBJECT_KEY).ravel()
        own = self._times(adata)
        first = pd.Series(own).groupby(subject).idxmin()
        return first.loc[pd.unique(subject[rows])].to_numpy()

    def _starts(self, adata: AnnData, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the starting values that visits give, one for each instrument that was taken.

        Row of the visit and number of the instrument, ``(n_starts,)`` each; mean and variance, ``(n_starts,
        n_latent)`` each.
        """
        if self.module.n_instruments == 1:
            return rows, np.zeros(len(rows), dtype=int), *self._posterior(adata, rows)
        (visits,) = self._make_data_loader(adata=adata, indices=rows, batch_size=len(rows))
        taken = self.module.observations(visits)
        visit, instrument = (taken[key].cpu().numpy() for key in (VISIT_KEY, INSTRUMENT_KEY))
        return rows[visit], instrument, *self._posterior(None, None, dataloader=[taken])

    @torch.no_grad()
    def _follow(
        self, adata: AnnData, first: np.ndarray, wanted: np.ndarray, *, start: str = "all", noise: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Carry subjects to times: mean and variance of the states, ``(n_subjects, n_times, n_latent)``.

        Parameters
        ----------
        adata
            Registered visits.
        first
            A row of each subject.
        wanted
            Times, in the unit of the user.
        start
            Visits to start from: ``"all"``, ``"first"`` or ``"previous"``.
        noise
            Standard normal numbers ``(n_obs, n_instruments, n_latent)``: start from draws instead of means.
        """
        self.module.eval()
        subject, own = self._registered(adata, SUBJECT_KEY).ravel(), self._times(adata)
        n_latent = self.module.n_latent
        mean, variance = np.empty((2, len(first), len(wanted), n_latent))
        for begin in range(0, len(first), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            rows = np.flatnonzero(np.isin(subject, subject[first[part]]))
            rows, instrument, *codes = self._starts(adata, rows)
            place = pd.Index(subject[first[part]]).get_indexer(subject[rows])
            if noise is not None:
                codes[0] = codes[0] + np.sqrt(codes[1]) * noise[rows, instrument]
            states = States(*(self._tensor(value) for value in codes))
            theta = self.module.theta(len(rows), self._baseline(adata, rows))
            begun = pd.Series(own[rows]).groupby(place).transform("min").to_numpy()
            for index, time in enumerate(wanted):
                use = torch.as_tensor(_is_start(own[rows], begun, float(time), start))
                at = self._tensor(self._scaled(own[rows]))[use]
                goal = torch.full_like(at, float(self._scaled(time)))
                n_steps = max(8, steps_between(0.0, float((goal - at).abs().max())))
                carried = carry(
                    self.module.field, States(states.mean[use], states.variance[use]), at, goal, theta[use],
                    diffusion=self.module.log_diffusion.exp(), n_steps=n_steps,
                )  # fmt: skip
                # All starts of a subject are carried by one and the same field, whose errors they share.
                to = torch.as_tensor(place)[use].to(at.device)
                found = combine(carried, to, len(first[part]), independent=False)
                mean[part, index] = found.mean.double().cpu().numpy()
                variance[part, index] = found.variance.double().cpu().numpy()
        return mean, variance

    def _subject_paths(
        self, adata: AnnData | None, times: ArrayLike, indices: ArrayLike | None, n_samples: int | None, rng: RNG
    ) -> np.ndarray:
        """Trajectories of subjects, ``([n_samples,] n_subjects, n_times, n_latent)``."""
        wanted = self._check_times(times)
        adata, rows = self._cells(adata, indices)
        first = self._first_rows(adata, rows)
        if n_samples is None:
            return self._follow(adata, first, wanted)[0]
        shape = n_samples, adata.n_obs, self.module.n_instruments, self.module.n_latent
        noise = generator(rng).standard_normal(shape)
        return np.stack([self._follow(adata, first, wanted, noise=part)[0] for part in noise])

    def _source_rows(self, adata: AnnData, first: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the last visit of each subject at or before each time, else its first, ``(n_subjects, n_times)``."""
        subject, own = self._registered(adata, SUBJECT_KEY).ravel(), self._times(adata)
        result = np.empty((len(first), len(wanted)), dtype=int)
        for position, row in enumerate(first):
            mine = np.flatnonzero(subject == subject[row])
            mine = mine[np.argsort(own[mine])]
            result[position] = mine[np.maximum(np.searchsorted(own[mine], wanted, side="right") - 1, 0)]
        return result

    def get_bands(
        self,
        adata: AnnData | None = None,
        *,
        times: ArrayLike,
        level: float = 0.9,
        observed: bool = False,
        n_samples: int = 200,
        rng: RNG = None,
    ) -> pd.DataFrame:
        """Return where each item of each individual lies at any time, with bands.

        The state of an individual is a Gaussian: what its visits leave open, carried by its dynamics, and what the
        dynamics miss on the way, which is learned from how far visits lie from where others are carried. Starts of one
        individual share the errors of its dynamics, so that more of them do not make the band narrower than the best
        of them would. Draws of the state are decoded.

        Parameters
        ----------
        adata
            Visits, those of the model if ``None``.
        times
            Times, in the unit of the user.
        level
            Share of the draws inside the band.
        observed
            Whether the band is for a new measurement, with its noise, instead of its expectation.
        n_samples
            Draws of the state.
        rng
            Seed or Generator.

        Returns
        -------
        Table ``subject``, ``time``, ``item``, ``mean``, ``lower``, ``upper``; of several instruments ``instrument``.

        Raises
        ------
        ValueError
            If the model knows no individuals, or an argument is out of range.
        RuntimeError
            If the model is not trained.
        """
        self._need_subjects()
        if not 0 < level < 1 or not isinstance(n_samples, int | np.integer) or n_samples < 2:
            message = (
                f"level={level!r} and n_samples={n_samples!r} were given; a share and an integer from 2 are needed."
            )
            raise ValueError(message)
        wanted = self._check_times(times)
        adata, rows = self._cells(adata, None)
        first = self._first_rows(adata, rows)
        mean, variance = self._follow(adata, first, wanted)
        pool = self._source_rows(adata, first, wanted).ravel()
        law = law_of(self, adata, self._times(adata), adapt(self).context if adata is self.adata else None)
        context, reader = law.context(pool, law.exposure[pool]), adapt(self)
        draw_rng, data_rng = generator(rng).spawn(2)
        sampler = LikelihoodSampler(self.module.gene_likelihood, data_rng)
        draws = []
        for _ in range(n_samples):
            z = mean + np.sqrt(variance) * draw_rng.standard_normal(mean.shape)
            parameters = reader.decode(z.reshape(len(pool), -1), context)
            draws.append((sampler.draw(parameters) if observed else parameters["mean"]).astype(np.float32))
        stacked = np.stack(draws)
        lower, upper = np.quantile(stacked, [(1 - level) / 2, (1 + level) / 2], axis=0)
        names, items = adata.obs[self._subject_key].astype(str).to_numpy()[first], np.asarray(reader.genes)
        table = pd.DataFrame(
            {
                "subject": np.repeat(names, len(wanted) * len(items)),
                "time": np.tile(np.repeat(wanted, len(items)), len(first)),
                "item": np.tile(items, len(pool)),
                "mean": stacked.mean(0).ravel(),
                "lower": lower.ravel(),
                "upper": upper.ravel(),
            }
        )
        return table.assign(instrument=np.tile(self._instruments, len(pool))) if self._instruments else table

    def get_similar_subjects(self, adata: AnnData | None = None, *, n_similar: int = 10) -> pd.DataFrame:
        """Return the individuals whose latent trajectories have the most similar shape.

        Parameters
        ----------
        adata
            Visits, those of the model if ``None``.
        n_similar
            Number of others for each individual.

        Returns
        -------
        Table ``subject``, ``similar``, ``distance``: the root of the mean squared distance between the centred latent
        trajectories over the training times, nearest first.

        Raises
        ------
        ValueError
            If the model knows no individuals, or `n_similar` is out of range.
        RuntimeError
            If the model is not trained.
        """
        self._need_subjects()
        adata, rows = self._cells(adata, None)
        first = self._first_rows(adata, rows)
        if not isinstance(n_similar, int | np.integer) or not 1 <= n_similar < len(first):
            message = f"n_similar={n_similar!r} was given; an integer from 1 to {len(first) - 1} is needed."
            raise ValueError(message)
        known = self.module.times.cpu().numpy()
        paths = self._follow(adata, first, np.linspace(known[0], known[-1], 11)[1:])[0]
        flat = (paths - paths.mean(1, keepdims=True)).reshape(len(paths), -1) / np.sqrt(paths.shape[1])
        names = adata.obs[self._subject_key].astype(str).to_numpy()[first]
        parts = []
        for index, path in enumerate(flat):
            distance = np.sqrt(np.square(flat - path).sum(1))
            distance[index] = np.inf
            near = np.argsort(distance, kind="stable")[:n_similar]
            parts.append(pd.DataFrame({"subject": names[index], "similar": names[near], "distance": distance[near]}))
        return pd.concat(parts, ignore_index=True)


def _is_start(own: np.ndarray, begun: np.ndarray, time: float, start: str) -> np.ndarray:
    """Return which visits a prediction starts from."""
    if start == "all":
        return np.ones(len(own), dtype=bool)
    at_first = own == begun
    return at_first if start == "first" else (own <= time) | at_first
