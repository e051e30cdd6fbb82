"""Binary genes: quantiles of each gene as thresholds, and what lies above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scgauge._core.matrix import iter_rows

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix

#: Values of a dense matrix that are copied at once for quantiles.
_VALUES_AT_ONCE = 2**23


def _sparse_quantiles(columns: sparse.csc_matrix, quantile: float) -> np.ndarray:
    """Quantile of each column of non-negative numbers, zeros included, as :func:`numpy.quantile` has it."""
    columns.sum_duplicates()
    columns.eliminate_zeros()
    n_rows, n_columns = columns.shape
    per_column = np.diff(columns.indptr)
    values = columns.data[np.lexsort((columns.data, np.repeat(np.arange(n_columns), per_column)))].astype(np.float64)
    position = (n_rows - 1) * quantile
    below, above = int(np.floor(position)), int(np.ceil(position))

    def ordered(rank: int) -> np.ndarray:
        """Return the value of this rank in every column; its zeros come before its stored values."""
        stored = rank - (n_rows - per_column)
        result = np.zeros(n_columns)
        inside = stored >= 0
        result[inside] = values[columns.indptr[:-1][inside] + stored[inside]]
        return result

    lower = ordered(below)
    return lower + (position - below) * (ordered(above) - lower)


def quantile_thresholds(matrix: Any, quantile: float, *, cells: np.ndarray | None = None) -> np.ndarray:
    """Quantile of each gene, without making a sparse matrix of non-negative numbers dense.

    Parameters
    ----------
    matrix
        Cells x genes of any kind that AnnData holds.
    quantile
        Which quantile, in [0, 1].
    cells
        Boolean mask of the cells to learn from; all if ``None``.

    Returns
    -------
    Thresholds, ``(n_genes,)``.
    """
    blocks = [block if cells is None else block[cells[rows]] for rows, block in iter_rows(matrix)]
    stacked: Matrix = sparse.vstack(blocks, format="csc") if sparse.issparse(blocks[0]) else np.concatenate(blocks)
    if sparse.issparse(stacked) and not (stacked.data < 0).any():
        return _sparse_quantiles(stacked, quantile)
    n_pieces = -(-stacked.shape[0] * stacked.shape[1] // _VALUES_AT_ONCE)
    parts = []
    for genes in np.array_split(np.arange(stacked.shape[1]), n_pieces):
        some = stacked[:, genes].toarray() if sparse.issparse(stacked) else stacked[:, genes]
        parts.append(np.quantile(some.astype(np.float64), quantile, axis=0))
    return np.concatenate(parts)


def above(block: Any, thresholds: np.ndarray) -> Any:
    """1 where an entry exceeds the threshold of its column, as float32.

    A sparse block stays sparse, unless zeros are above a threshold.
    """
    if sparse.issparse(block) and (thresholds < 0).any():
        block = block.toarray()
    if not sparse.issparse(block):
        return (block > thresholds).astype(np.float32)
    if not block.has_canonical_format:
        block = block.copy()  # a block of rows may share its data with the matrix
        block.sum_duplicates()
    keep = block.data > thresholds[block.indices]
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    ones = np.ones(kept_before[-1], dtype=np.float32)
    return sparse.csr_matrix((ones, block.indices[keep], kept_before[block.indptr]), shape=block.shape)
