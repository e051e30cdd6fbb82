from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.checks import check_adata, check_finite, check_same_genes
from scgauge._core.keys import MEMORIZATION
from scgauge._core.matrix import as_rows
from scgauge._core.rng import RNG, generator, seeded
from scgauge._core.store import store
from scgauge.metrics import memorization as of_points
from scgauge.metrics._neighbors import nearest
from scgauge.tl._cell_space import Cells, CellSpace, kind_of
from scgauge.tl._split_real import rows_in_order, split_real

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.matrix import Matrix

#: Fewest cells of each kind.
_FEWEST = 10
#: Passes over which the ELBO of a cell is averaged.
_N_DRAWS = 5


def memorization(
    real: AnnData,
    synthetic: AnnData,
    *,
    holdout: AnnData | None = None,
    model: Any = None,
    layer: str | None = None,
    n_pcs: int = 30,
    n_bootstrap: int = 200,
    rng: RNG = None,
    key_added: str = MEMORIZATION,
    copy: bool = False,
) -> AnnData | None:
    """Ask whether synthetic cells are copies of the cells that the model was trained on.

    Distances are taken in principal components of the 2000 most variable (log-normalised) genes, learnt on all
    cells together: cells lie closer to each other in components that were learnt on others. The statistics are
    those of :func:`scgauge.metrics.memorization` :cite:p:`Alaa22,Yale20,Meehan20`, and with them exact duplicates
    in all genes and, for a model, the gap between the ELBO of cells that it was trained on and of cells that it was
    not. Draw with :func:`scgauge.pl.memorization`.

    Parameters
    ----------
    real
        Real cells: those that the model was trained on, or all of its cells together with ``model``.
    synthetic
        Synthetic cells with the same genes; data in ``X``.
    holdout
        Real cells of the same law that the model has not seen.
    model
        The model behind the synthetic cells, set up with ``real``: cells that it was not trained on are held out.
    layer
        Layer of ``real`` and ``holdout`` to read, ``X`` if ``None``.
    n_pcs
        Number of principal components.
    n_bootstrap
        Number of bootstrap draws for the standard error.
    rng
        Seed or Generator.
    key_added
        Key in ``synthetic.uns`` and in the name of the column of ``synthetic.obs``.
    copy
        Whether to work on a copy of ``synthetic`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``synthetic.obs[f"{key_added}_distance_ratio"]`` : :class:`pandas.Series` (dtype ``float64``)
        Distance of each cell to its nearest training cell over that to its nearest cell held out; far below 1 for
        copies. The training cells are thinned to the number of cells held out.
    ``synthetic.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments and ``"holdout"``, where the cells held out come from.
        ``"scores"``: data frame with the columns ``statistic``, ``value``, ``expected`` (without memorisation) and
        ``se``, where there is one: the fields of :class:`scgauge.metrics.Memorization`, ``"duplicates"`` (share of
        synthetic cells equal to a training cell in every gene; expected is that of the cells held out) and
        ``"elbo_gap"`` (mean ELBO of training cells minus that of cells held out, in nats).
        ``"copies"``: whether the share of synthetic cells next to training cells is more than four standard deviations
        above its expectation.
        ``"distances"``: data frame with the columns ``cells`` (``"synthetic"`` or ``"holdout"``) and ``to_train``, the
        distance to the nearest training cell.

    Raises
    ------
    TypeError
        If one of the data sets is not an AnnData, or scgauge cannot read the model.
    KeyError
        If ``layer`` does not exist.
    ValueError
        If neither or both of ``holdout`` and ``model`` are given, or the model does not belong to ``real``; if genes
        differ, values are not finite, or cells held out are among the real ones; if there are fewer than 10 cells of a
        kind.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(300, 30, rng=0)
    >>> real, holdout = adata[:150].copy(), adata[150:].copy()
    >>> copies = real[:100].copy()
    >>> scgauge.tl.memorization(real, copies, holdout=holdout, rng=0)
    >>> copies.uns["memorization"]["copies"]
    True
    """
    check_adata(real, name="real")
    check_adata(synthetic, name="synthetic")
    if holdout is None and model is None:
        message = "Memorisation can only be told with cells that the model has not seen: pass `holdout` or `model`."
        raise ValueError(message)
    rng = generator(rng)
    train, unseen, source = split_real(real, holdout, model, rng)
    candidates = check_same_genes(real, synthetic)
    for adata, where, name in (
        (train, layer, "training"),
        (unseen, layer, "held out"),
        (candidates, None, "synthetic"),
    ):
        check_finite(adata, where)
        if adata.n_obs < _FEWEST:
            message = f"Found {adata.n_obs} cells that are {name}; at least {_FEWEST} are needed."
            raise ValueError(message)
    x, h, y = (rows_in_order(*pair) for pair in ((train, layer), (unseen, layer), (candidates, None)))
    stack = sparse.vstack if sparse.issparse(x) else np.concatenate
    pooled = as_rows(stack([x, _like(h, x), _like(y, x)]))
    space = CellSpace(pooled, kind_of(x), 2000, n_pcs, int(rng.integers(2**31)))
    points = {name: Cells(matrix, space).points for name, matrix in (("train", x), ("holdout", h), ("synthetic", y))}
    found = of_points(
        points["train"], points["synthetic"], holdout=points["holdout"], n_bootstrap=n_bootstrap, rng=rng.spawn(1)[0]
    )
    rows = _rows(asdict(found))
    rows.append(("duplicates", _duplicates(y, x), _duplicates(h, x), np.nan))
    if model is not None:
        rows.append(("elbo_gap", *_elbo_gap(model, train.n_obs, int(rng.integers(2**31)))))
    to_train = {name: nearest(points[name], points["train"])[0][:, 0] for name in ("synthetic", "holdout")}
    thinned = points["train"][rng.permutation(len(points["train"]))[: len(points["holdout"])]]
    to_thinned, to_holdout = (nearest(points["synthetic"], part)[0][:, 0] for part in (thinned, points["holdout"]))
    result = {
        "params": {"layer": layer, "n_pcs": n_pcs, "n_bootstrap": n_bootstrap, "holdout": source},
        "scores": pd.DataFrame(rows, columns=["statistic", "value", "expected", "se"]),
        "copies": bool(found.train_share_z > 4),
        "distances": pd.DataFrame(
            {
                "cells": np.repeat(list(to_train), [len(part) for part in to_train.values()]),
                "to_train": np.concatenate(list(to_train.values())),
            }
        ),
    }
    ratio = (to_thinned + 1e-12) / (to_holdout + 1e-12)
    return store(synthetic, copy=copy, obs={f"{key_added}_distance_ratio": ratio}, uns={key_added: result})


def _like(matrix: Matrix, other: Matrix) -> Matrix:
    """Store a matrix as another is: sparse or dense."""
    if sparse.issparse(other):
        return sparse.csr_matrix(matrix)
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def _rows(found: dict[str, float]) -> list[tuple[str, float, float, float]]:
    """Tidy rows of the statistics of neighbours, each with what is expected without memorisation."""
    share_se = (
        (found["train_share"] - found["train_share_expected"]) / found["train_share_z"]
        if found["train_share_z"]
        else np.nan
    )
    return [
        ("train_share", found["train_share"], found["train_share_expected"], share_se),
        ("train_share_z", found["train_share_z"], 0.0, 1.0),
        ("train_share_pvalue", found["train_share_pvalue"], 0.5, np.nan),
        ("dcr_share", found["dcr_share"], 0.5, found["dcr_share_se"]),
        ("authenticity", found["authenticity"], found["authenticity_holdout"], np.nan),
        ("nnaa_train", found["nnaa_train"], found["nnaa_holdout"], np.nan),
        ("privacy_loss", found["privacy_loss"], 0.0, np.nan),
        ("copying_z", found["copying_z"], 0.0, np.nan),
    ]


def _hashes(matrix: Matrix) -> list[bytes]:
    """One key for each row that is equal exactly for equal rows."""
    if not sparse.issparse(matrix):
        dense = np.ascontiguousarray(matrix, dtype=np.float64) + 0.0  # -0 and 0 are equal
        return [row.tobytes() for row in dense]
    rows = sparse.csr_matrix(matrix, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    ends = rows.indptr
    return [
        rows.indices[start:stop].astype(np.int64).tobytes() + rows.data[start:stop].tobytes()
        for start, stop in pairwise(ends)
    ]


def _duplicates(cells: Matrix, among: Matrix) -> float:
    """Share of cells that are equal to one among others in every gene."""
    if sparse.issparse(cells) != sparse.issparse(among):
        cells, among = (sparse.csr_matrix(matrix) for matrix in (cells, among))
    known = set(_hashes(among))
    return float(np.mean([row in known for row in _hashes(cells)]))


def _elbo_gap(model: Any, n_train: int, seed: int) -> tuple[float, float, float]:
    """Mean ELBO of training cells minus that of the others, what is expected, and its standard error over draws."""
    gaps = []
    with seeded(seed):
        train = np.sort(np.asarray(model.train_indices_))
        unseen = np.setdiff1d(np.arange(model.adata.n_obs), train)
        for _ in range(_N_DRAWS):
            values = [float(model.get_elbo(indices=cells)) for cells in (train[:n_train], unseen)]
            gaps.append(values[0] - values[1])
    return float(np.mean(gaps)), 0.0, float(np.std(gaps, ddof=1) / np.sqrt(_N_DRAWS))
