from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata
from scgauge._core.keys import EMBEDDING_STABILITY
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge.metrics import procrustes
from scgauge.metrics._embedding_quality import neighbor_numbers, query_rows
from scgauge.metrics._shared_neighbors import shared_neighbors
from scgauge.tl._embedding_methods import as_methods, check_options, embed_cells, shared_input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData

    #: The cells of a run and where it placed them.
    Run = tuple[np.ndarray, np.ndarray]

#: Rounds of laying all runs on their mean, and most cells whose neighbours are compared.
_ROUNDS, _QUERIES = 3, 1000


def _aligned(runs: list[Run], n_obs: int) -> np.ndarray:
    """Lay all runs on their mean, in units of its radius, ``(n_runs, n_obs, n_dims)``; NaN for cells not in a run."""
    n_dims = runs[0][1].shape[1]
    placed = np.full((len(runs), n_obs, n_dims), np.nan)
    mean = np.full((n_obs, n_dims), np.nan)
    mean[runs[0][0]] = runs[0][1]
    for _ in range(_ROUNDS):
        for number, (rows, points) in enumerate(runs):
            known = np.isfinite(mean[rows, 0])
            fit = procrustes(mean[rows[known]], points[known])
            centre = points[known].mean(axis=0)
            placed[number, rows] = fit.scale * (points - centre) @ fit.rotation + mean[rows[known]].mean(axis=0)
            unknown = rows[~known]
            mean[unknown] = placed[number, unknown]
        seen = np.isfinite(placed[:, :, 0])
        mean = np.nansum(placed, axis=0) / np.maximum(seen.sum(axis=0), 1)[:, None]
        mean[~seen.any(axis=0)] = np.nan
        centred = mean - np.nanmean(mean, axis=0)
        mean = centred / np.sqrt(np.nanmean((centred**2).sum(axis=1)))
    return placed


def _spread(placed: np.ndarray) -> np.ndarray:
    """Root mean square distance of each cell from its mean place; NaN for cells of fewer than two runs."""
    n_runs = np.isfinite(placed[:, :, 0]).sum(axis=0)
    mean = np.nansum(placed, axis=0) / np.maximum(n_runs, 1)[:, None]
    squares = np.nansum((placed - mean) ** 2, axis=(0, 2))
    return np.where(n_runs > 1, np.sqrt(squares / np.maximum(n_runs - 1, 1)), np.nan)


def _agreement(runs: list[Run], k: int, rng: np.random.Generator) -> list[tuple[int, str, float]]:
    """Shared neighbours and Procrustes disparity of each run and the next, on the cells of both."""
    table = []
    for number, ((rows, one), (others, other)) in enumerate(pairwise(runs)):
        common, first, second = np.intersect1d(rows, others, return_indices=True)
        asked = query_rows(min(_QUERIES, len(common)), len(common), rng)
        shares = shared_neighbors([one[first], other[second]], asked, k, rng.permutation(len(common)))
        table.append((number, "recall", float(shares[:, 0, 1].mean())))
        table.append((number, "procrustes", procrustes(one[first], other[second]).disparity))
    return table


def embedding_stability(  # noqa: PLR0913 - nine without `rng`, `progress`, `key_added` and `copy`
    adata: AnnData,
    *,
    methods: str | Sequence[str] | Mapping[str, Callable[[np.ndarray, int], np.ndarray] | None] = ("tsne", "umap"),
    use_rep: str | None = None,
    layer: str | None = None,
    n_pcs: int = 50,
    n_runs: int = 10,
    subsample: float | None = None,
    start: Literal["pca", "random"] = "pca",
    n_neighbors: int = 15,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = EMBEDDING_STABILITY,
    copy: bool = False,
) -> AnnData | None:
    """Embed cells again and again (models are trained here) and measure how far each cell wanders.

    The runs differ by their seeds, and with ``subsample`` by the cells that they see, too. They are laid on their mean
    by rotation, reflection, scale and translation :cite:p:`Gower75`; the spread of a cell is the root mean square
    distance of its places from their mean, in units of the radius of the embedding: 0 for a cell that is always at the
    same place relative to the others, of the order of 1 for one that is anywhere.

    Parameters
    ----------
    adata
        Annotated data matrix with counts.
    methods
        Methods as for :func:`scgauge.tl.embed`.
    use_rep, layer, n_pcs
        Input as for :func:`scgauge.tl.embed`.
    n_runs
        Number of embeddings by each method, at least 2.
    subsample
        Share of the cells in each run, drawn at random, at least 0.5; all cells if ``None``.
    start
        Where t-SNE and UMAP begin: ``"pca"``, the same each time, so that seeds change little; or ``"random"``, which
        shows how much of the arrangement is the start's.
    n_neighbors
        Number of neighbours for the agreement between runs.
    options
        Further arguments by method, as for :func:`scgauge.tl.embed`.
    rng
        Seed or Generator of seeds and subsamples.
    progress
        Whether to show a progress bar over the embeddings.
    key_added
        Start of the names under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obs[f"{key_added}_{methods}_spread"]`` : :class:`pandas.Series`
        Spread of each cell by each method; NaN for cells that were in fewer than two runs.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call. ``"scores"``: data frame with the columns ``method``, ``run``
        (compared with the next one), ``metric`` (``"recall"``, neighbours in common, and ``"procrustes"``, the
        disparity) and ``value``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``use_rep`` or ``layer`` does not exist.
    ValueError
        If a method is unknown, a number is out of range, or there are too few cells.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.tl.embedding_stability(adata, methods="pca", n_runs=3, n_pcs=5, rng=0, progress=False)
    >>> round(float(adata.obs["embedding_stability_pca_spread"].max()), 6)
    0.0
    """
    check_adata(adata)
    wanted = as_methods(methods)
    check_options(options, wanted)
    if n_runs < 2 or not (subsample is None or 0.5 <= subsample <= 1) or start not in {"pca", "random"}:
        message = f"n_runs={n_runs} (at least 2), subsample={subsample} (0.5 to 1 or None), start={start!r} is wrong."
        raise ValueError(message)
    size = adata.n_obs if subsample is None else max(4, round(subsample * adata.n_obs))
    k = int(neighbor_numbers(n_neighbors, size if size == adata.n_obs else 2 * size - adata.n_obs)[0])
    seed_rng, row_rng, query_rng = generator(rng).spawn(3)
    seeds = [int(seed) for seed in seed_rng.integers(2**31, size=n_runs)]
    cells = shared_input(adata, use_rep=use_rep, layer=layer, n_pcs=n_pcs, seed=seeds[0])
    chosen = [np.sort(row_rng.choice(adata.n_obs, size, replace=False)) for _ in seeds]
    obs, table = {}, []
    bar = tqdm(total=n_runs * len(wanted), desc="Embedding", unit="fit", disable=not progress)
    with bar:
        for name, method in wanted.items():
            runs: list[Run] = []
            for rows, seed in zip(chosen, seeds, strict=True):
                part = cells if size == adata.n_obs else cells.take(rows)
                own = (options or {}).get(name)
                runs.append((rows, embed_cells(name, method, part, seed=seed, options=own, start=start)))
                bar.update()
            obs[f"{key_added}_{name}_spread"] = _spread(_aligned(runs, adata.n_obs))
            table += [(name, *row) for row in _agreement(runs, k, query_rng)]
    params = {
        "methods": list(wanted),
        "use_rep": use_rep,
        "layer": layer,
        "n_pcs": cells.points.shape[1],
        "n_runs": n_runs,
        "subsample": subsample,
        "start": start,
        "n_neighbors": k,
        "options": {name: dict(values) for name, values in (options or {}).items()},
        "rng": rng,
    }
    scores = pd.DataFrame(table, columns=["method", "run", "metric", "value"])
    return store(adata, copy=copy, obs=obs, uns={key_added: {"params": params, "scores": scores}})
