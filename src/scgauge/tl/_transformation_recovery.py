from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata
from scgauge._core.keys import LATENT, TRANSFORM_LATENT, TRANSFORMATION_RECOVERY
from scgauge._core.rng import RNG, generator
from scgauge._core.sampling import stratified_rows
from scgauge._core.store import store
from scgauge.metrics import energy_distance, sinkhorn_divergence
from scgauge.metrics import transformation_recovery as recover
from scgauge.tl._embedding_methods import EmbeddingInput, as_methods, check_options, embed_cells, shared_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Distance = Literal["energy", "sinkhorn"]
#: Fields of the comparison that are kept as scores.
_SCORES = (
    "angle", "true_angle", "angle_error", "scale", "true_scale", "log_scale_error", "anisotropy", "skill", "cosine",
    "displacement", "r2", "condition",
)  # fmt: skip
#: Likelihoods of data that are no counts.
_CONTINUOUS = frozenset({"normal", "bernoulli"})


@dataclass(frozen=True)
class _Experiment:
    """The truth of transformed cells, time by time."""

    latent: np.ndarray
    labels: np.ndarray
    moves: list[str]
    n_times: int
    plane: tuple[int, int]

    def rows(self, time: int) -> slice:
        n = len(self.labels)
        return slice(time * n, (time + 1) * n)


def _experiment(adata: AnnData) -> _Experiment:
    check_adata(adata)
    result = adata.uns.get(TRANSFORM_LATENT)
    if not isinstance(result, dict) or LATENT not in adata.obsm or not {"time", "transformed"} <= set(adata.obs):
        message = (
            "`adata` holds no transformed cells. Run: scgauge.tl.transform_latent(adata, model, groupby=..., "
            "transformations=...), and pass what it returns."
        )
        raise KeyError(message)
    params = result["params"]
    n_times = int(params["n_steps"]) + 1
    times = adata.obs["time"].to_numpy()
    if adata.n_obs % n_times or not np.array_equal(times, np.repeat(np.arange(n_times), adata.n_obs // n_times)):
        message = "`adata` needs the cells of all times in the order of scgauge.tl.transform_latent; take no subset."
        raise ValueError(message)
    first = adata.obs.iloc[: adata.n_obs // n_times]
    labels = first[params["groupby"]].astype(str).to_numpy()
    moves = sorted(set(labels[first["transformed"].to_numpy(dtype=bool)]))
    latent = np.asarray(adata.obsm[LATENT], dtype=np.float64)
    return _Experiment(latent, labels, moves, n_times, tuple(int(axis) for axis in params["plane"]))  # type: ignore[arg-type]


def _root_mean_square(parts: list[tuple[float, int]]) -> float:
    """Of values that stand for so many cells each; NaN without any."""
    if not parts:
        return float("nan")
    values, sizes = np.transpose(parts)
    return float(np.sqrt(np.average(values**2, weights=sizes)))


def _scores_of(truth: _Experiment, shown: np.ndarray, *, identity: bool) -> Iterator[tuple[str, int, str, float]]:
    """Group, time, metric and value of every comparison of one embedding."""
    n_features = truth.latent.shape[1]
    z = truth.latent[truth.rows(0)]
    for time in range(1, truth.n_times):
        moved: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
        for group in np.unique(truth.labels):
            rows = truth.labels == group
            if rows.sum() < n_features + 3:
                continue
            places = {"before": shown[truth.rows(0)][rows], "after": shown[truth.rows(time)][rows]}
            image = truth.latent[truth.rows(time)][rows]
            found = recover(z[rows], image, plane=truth.plane, **places)
            moved[group in truth.moves].append((found.displacement, int(rows.sum())))
            if group not in truth.moves:
                continue
            values = {name: getattr(found, name) for name in _SCORES}
            if identity:  # nothing moved; the skill still asks for the change that was claimed
                still = recover(z[rows], z[rows], plane=truth.plane, **places)
                values = {name: getattr(still, name) for name in _SCORES}
                values |= {"skill": found.skill, "cosine": found.cosine}
            yield from ((str(group), time, name, float(value)) for name, value in values.items())
        stay, move = (_root_mean_square(moved[key]) for key in (False, True))
        with np.errstate(divide="ignore", invalid="ignore"):
            yield "", time, "leakage", float(np.divide(stay, move))


def _distances_of(
    points: np.ndarray, truth: _Experiment, kinds: Sequence[str], rows: np.ndarray
) -> list[tuple[int, int, str, float]]:
    """Distances between neighbouring times and from the first to the last, at unit spread of all cells."""
    centred = points - points.mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=1).mean())
    pairs = list(pairwise(range(truth.n_times)))
    pairs += [(0, truth.n_times - 1)] if truth.n_times > 2 else []
    functions: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "energy": lambda x, y: energy_distance(x, y, estimator="v"),
        "sinkhorn": sinkhorn_divergence,
    }
    clouds = [scaled[truth.rows(time)][rows] for time in range(truth.n_times)]
    return [(i, j, kind, functions[kind](clouds[i], clouds[j])) for kind in kinds for i, j in pairs]


def _profile_errors(distances: pd.DataFrame) -> pd.DataFrame:
    """Half the sum of absolute differences between the shares that pairs of times have in the sum of distances."""
    shares = distances.copy()
    sums = shares.groupby(["method", "seed", "statistic"])["value"].transform("sum")
    shares["share"] = shares["value"] / sums
    pairs = ["statistic", "first", "second"]
    truth = shares[shares["method"] == "truth"].set_index(pairs)["share"].rename("true")
    joined = shares[shares["method"] != "truth"].join(truth, on=pairs)
    joined["value"] = (joined["share"] - joined["true"]).abs() / 2
    errors = joined.groupby(["method", "seed", "statistic"], sort=False)["value"].sum().reset_index()
    errors["metric"] = errors.pop("statistic") + "_profile_error"
    return errors.assign(data="transformed", group="", time=0)


def transformation_recovery(  # noqa: PLR0913 - seven without `rng`, `progress`, `key_added` and `copy`
    adata: AnnData,
    *,
    methods: str | Sequence[str] | Mapping[str, Callable[[np.ndarray, int], np.ndarray] | None] = (
        "pca",
        "tsne",
        "umap",
        "vae",
    ),
    n_seeds: int = 3,
    null: bool = True,
    distances: Sequence[Distance] = ("energy",),
    n_max_distances: int = 1000,
    n_pcs: int = 50,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = TRANSFORMATION_RECOVERY,
    copy: bool = False,
) -> AnnData | None:
    """Embed transformed cells by several methods (models are trained here) and score which change each shows.

    The cells of :func:`scgauge.tl.transform_latent` at all times are embedded together, as :func:`scgauge.tl.embed`
    does, and what happened to each group between the first time and each later one is compared with the truth by
    :func:`scgauge.metrics.transformation_recovery`. The same is done to cells that were not moved: what a method shows
    of them is noise, with which its scores are to be compared. Draw with :func:`scgauge.pl.transformation` and
    :func:`scgauge.pl.transformation_recovery`.

    Parameters
    ----------
    adata
        Cells from :func:`scgauge.tl.transform_latent`, all of them.
    methods
        Methods as for :func:`scgauge.tl.embed`.
    n_seeds
        Number of embeddings by each method, with different seeds.
    null
        Whether to embed the unmoved cells in ``adata.layers["identity"]``, too.
    distances
        Distances between the clouds of two times, ``"energy"`` and ``"sinkhorn"`` (needs geomloss), in the truth and in
        each embedding, both at unit spread of all cells.
    n_max_distances
        Most cells of a time for these distances, each group in proportion.
    n_pcs
        Principal components of the input.
    options
        Further arguments by method, as for :func:`scgauge.tl.embed`.
    rng
        Seed or Generator of the seeds.
    progress
        Whether to show a progress bar over the embeddings.
    key_added
        Part of the names under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"X_{key_added}_{methods}"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Embedding by each method of the cells of all times, with the first seed, ``(n_obs, 2)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call.
        ``"scores"``: data frame with the columns ``data`` (``"transformed"`` or ``"identity"``), ``method``, ``seed``,
        ``group`` (empty for scores of all groups), ``time`` (0 for scores of all times), ``metric`` and ``value``. The
        metrics are the fields of :class:`scgauge.metrics.TransformationRecovery` and ``leakage``, the root mean square
        displacement of groups that stay, divided by that of groups that move; and ``energy_profile_error`` (and so for
        each distance), the sum of half the absolute differences between the shares of pairs of times in the sum of all
        distances, in the truth and in the embedding, from 0 to 1. For ``"identity"`` angle and scale are compared with
        no change, skill and cosine with the change that did not happen.
        ``"distances"``: data frame of the distances between two times with the columns ``method`` (``"truth"`` for the
        latent points), ``seed``, ``first``, ``second``, ``statistic`` and ``value``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``adata`` holds no transformed cells, or no unmoved ones with ``null=True``.
    ValueError
        If cells are missing, a method or distance is unknown, or a number is out of range.
    ImportError
        If geomloss is not installed and needed.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> turned = scgauge.tl.transform_latent(
    ...     adata, model, groupby="group", transformations={"group_0": {"rotate": 30.0}}, n_steps=1, rng=0
    ... )
    >>> scgauge.tl.transformation_recovery(turned, methods="pca", n_seeds=1, n_pcs=10, rng=0, progress=False)
    >>> scores = turned.uns["transformation_recovery"]["scores"]
    >>> scores.query("metric == 'true_angle' and data == 'transformed'")["value"].round(6).tolist()
    [30.0]
    """
    truth, wanted, kinds = _experiment(adata), as_methods(methods), list(distances)
    check_options(options, wanted)
    _check_request(adata, n_seeds, kinds, null=null)
    seed_rng, row_rng = generator(rng).spawn(2)
    seeds = [int(seed) for seed in seed_rng.integers(2**31, size=n_seeds)]
    codes = pd.Categorical(truth.labels).codes.astype(np.int64)
    rows = stratified_rows(codes, max(n_max_distances, codes.max() + 1), row_rng)
    inputs = _inputs(adata, n_pcs, seeds[0], null=null)
    scores: list[tuple] = []
    kept: dict[str, np.ndarray] = {}
    between = [("truth", 0, *row) for row in _distances_of(truth.latent, truth, kinds, rows)]
    bar = tqdm(total=len(inputs) * n_seeds * len(wanted), desc="Embedding", unit="fit", disable=not progress)
    for data, cells in inputs.items():
        for number, seed in enumerate(seeds):
            for name, method in wanted.items():
                shown = embed_cells(name, method, cells, seed=seed, options=(options or {}).get(name))
                found = _scores_of(truth, shown, identity=data == "identity")
                scores += [(data, name, number, *row) for row in found]
                if data == "transformed":
                    kept.setdefault(f"X_{key_added}_{name}", shown)
                    between += [(name, number, *row) for row in _distances_of(shown, truth, kinds, rows)]
                bar.update()
    bar.close()
    table = pd.DataFrame(scores, columns=["data", "method", "seed", "group", "time", "metric", "value"])
    clouds = pd.DataFrame(between, columns=["method", "seed", "first", "second", "statistic", "value"])
    if kinds:
        table = pd.concat([table, _profile_errors(clouds)[list(table)]], ignore_index=True)
    params = {
        "methods": list(wanted),
        "n_seeds": n_seeds,
        "null": null,
        "distances": kinds,
        "n_max_distances": n_max_distances,
        "n_pcs": n_pcs,
        "options": {name: dict(values) for name, values in (options or {}).items()},
        "rng": rng,
        "seeds": seeds,
    }
    uns = {key_added: {"params": params, "scores": table, "distances": clouds}}
    return store(adata, copy=copy, obsm=kept, uns=uns)


def _check_request(adata: AnnData, n_seeds: int, kinds: Sequence[str], *, null: bool) -> None:
    if n_seeds < 1 or any(kind not in get_args(Distance) for kind in kinds):
        message = f"n_seeds={n_seeds} (at least 1), distances={kinds} (among {list(get_args(Distance))})."
        raise ValueError(message)
    if null and "identity" not in adata.layers:
        message = "Did not find adata.layers['identity']. Run transform_latent with null=True, or pass null=False here."
        raise KeyError(message)


def _inputs(adata: AnnData, n_pcs: int, seed: int, *, null: bool) -> dict[str, EmbeddingInput]:
    """Return what all methods embed: the transformed cells, and those that did not move."""
    log_normalised = adata.uns[TRANSFORM_LATENT]["params"]["gene_likelihood"] not in _CONTINUOUS
    layers = {"transformed": None, "identity": "identity"} if null else {"transformed": None}
    settings = {"use_rep": None, "layer": None, "n_pcs": n_pcs, "seed": seed, "log_normalised": log_normalised}
    return {data: shared_input(_bare(adata, layer), **settings) for data, layer in layers.items()}  # type: ignore[arg-type]


def _bare(adata: AnnData, layer: str | None) -> AnnData:
    """Cells with one matrix and nothing else."""
    return AnnData(
        adata.X if layer is None else adata.layers[layer], obs=adata.obs[[]].copy(), var=adata.var[[]].copy()
    )
