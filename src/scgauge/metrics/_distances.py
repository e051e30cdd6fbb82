"""Euclidean distances in blocks: the memory needed never grows with the square of the number of points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scgauge._core.matrix import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scgauge._core.matrix import Matrix

#: Most rows of a block: a square block of distances then has 32 MiB.
BLOCK_ROWS = 2048
#: Squared distances below this share of the squared norms are taken again from the differences themselves.
CANCELLATION = 1e-4
_PAIRS_AT_ONCE = 2**16


def rows_per_block(n_columns: int) -> int:
    """Rows of a dense float64 block within `BLOCK_BYTES`, from 64 to `BLOCK_ROWS`."""
    return int(np.clip(BLOCK_BYTES // (8 * n_columns), 64, BLOCK_ROWS))


def dense_rows(points: Matrix, rows: slice | np.ndarray) -> np.ndarray:
    """Return some rows of a dense or sparse matrix as a dense float64 array."""
    block = points[rows]
    return np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float64)


def euclidean(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Euclidean distances between the rows of two float64 arrays, ``(n, m)``.

    :math:`|x-y|^2 = |x|^2 + |y|^2 - 2x \cdot y` costs one matrix product but cancels where two points are close
    together; these few pairs are computed from :math:`x - y`, so that every distance has a relative error near 1e-11
    and equal points have the distance 0 exactly.
    """
    centre = (x.mean(axis=0) + y.mean(axis=0)) / 2  # distances do not change, the norms and so the rounding shrink
    left, right = x - centre, y - centre
    scale = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)[None, :]
    squared = scale - 2 * (left @ right.T)
    close = np.flatnonzero(squared <= CANCELLATION * scale)
    for start in range(0, len(close), _PAIRS_AT_ONCE):
        pairs = close[start : start + _PAIRS_AT_ONCE]
        difference = x[pairs // len(y)] - y[pairs % len(y)]
        squared.flat[pairs] = np.einsum("ij,ij->i", difference, difference)
    return np.sqrt(squared, out=squared)


def iter_distances(
    x: Matrix, y: Matrix | None = None, *, block_rows: int | None = None
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Pass over all pairwise Euclidean distances in blocks.

    Parameters
    ----------
    x, y
        Points, ``(n, p)`` and ``(m, p)``. Without `y` the distances within `x`, of which only the blocks on and above
        the diagonal come: a block with ``rows.start < columns.start`` stands for its transpose too.
    block_rows
        Rows of a block; from the number of columns if ``None``.

    Yields
    ------
    The rows, the columns and the block of distances.
    """
    size = block_rows or rows_per_block(x.shape[1])
    other = x if y is None else y
    for start in range(0, x.shape[0], size):
        rows = slice(start, min(start + size, x.shape[0]))
        left = dense_rows(x, rows)
        for begin in range(start if y is None else 0, other.shape[0], size):
            columns = slice(begin, min(begin + size, other.shape[0]))
            right = left if y is None and begin == start else dense_rows(other, columns)
            yield rows, columns, euclidean(left, right)


def distance_sum(x: Matrix, y: Matrix | None = None, *, block_rows: int | None = None) -> float:
    """Sum of all distances between `x` and `y`, or over all ordered pairs within `x`."""
    total = 0.0
    for rows, columns, block in iter_distances(x, y, block_rows=block_rows):
        twice = y is None and rows.start < columns.start
        total += float(block.sum()) * (2 if twice else 1)
    return total
