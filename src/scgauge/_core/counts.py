"""Integer counts from matrices that were normalised cell by cell and perhaps logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from scgauge._core.matrix import iter_rows, stored_values

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Largest distance from an integer, in counts, that is taken for rounding of the stored values.
LARGEST_RESIDUAL = 0.2
#: Largest smallest count of a cell that is tried.
_LARGEST_MINIMUM = 4
#: Values above this are not logarithms of expression: their exponential would exceed any count.
_LARGEST_LOG = 30.0
#: Cells that decide whether values are logged.
_CELLS_THAT_DECIDE = 1000


class Recovered(NamedTuple):
    """Recovered counts.

    Attributes
    ----------
    counts
        Integer counts, csr_matrix of float32.
    residual
        Largest distance of a rescaled entry from its count.
    logged
        Whether the matrix held log1p values.
    """

    counts: sparse.csr_matrix
    residual: float
    logged: bool


def _by_row(values: np.ndarray, indptr: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    """Return the sum, smallest or largest value of each row; the rows must not be empty."""
    return reduce.reduceat(values, indptr[:-1])


def _rescale(values: np.ndarray, indptr: np.ndarray, minimum: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and largest residual of each row if its smallest count is `minimum`."""
    lengths = np.diff(indptr)
    scale = _by_row(values, indptr, np.minimum) / minimum
    counts = np.rint(values / np.repeat(scale, lengths))
    for _ in range(2):  # counts that a better scale rounds elsewhere improve the scale once more
        scale = _by_row(values * counts, indptr, np.add) / _by_row(counts * counts, indptr, np.add)
        counts = np.rint(values / np.repeat(scale, lengths))
    residual = np.abs(values / np.repeat(scale, lengths) - counts)
    return counts, _by_row(residual, indptr, np.maximum)


def _recover_rows(values: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and residual of each row, each with the smallest minimal count that explains it."""
    counts, residual = _rescale(values, indptr, 1)
    for minimum in range(2, _LARGEST_MINIMUM + 1):
        bad = np.flatnonzero(residual >= LARGEST_RESIDUAL)
        if len(bad) == 0:
            break
        lengths = np.diff(indptr)[bad]
        entries = np.repeat(indptr[bad] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        entries = entries + np.arange(lengths.sum())
        own = np.concatenate(([0], np.cumsum(lengths)))
        new_counts, new_residual = _rescale(values[entries], own, minimum)
        better = new_residual < LARGEST_RESIDUAL
        take = np.repeat(better, lengths)
        counts[entries[take]] = new_counts[take]
        residual[bad[better]] = new_residual[better]
    return counts, residual


def _filled_rows(matrix: Any) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
    """Pass over the matrix in blocks: first row, non-zero values, rows of the block that have any."""
    for rows, block in iter_rows(matrix):
        values = sparse.csr_matrix(block, dtype=np.float64, copy=True)
        values.eliminate_zeros()
        yield rows.start, values, np.flatnonzero(np.diff(values.indptr))


def _check_values(matrix: Any) -> float:
    """Return the largest value of a matrix whose values are finite and not negative."""
    n_bad, largest = 0, 0.0
    for _, block in iter_rows(matrix):
        values = stored_values(block)
        good = np.isfinite(values) & (values >= 0)
        n_bad += int((~good).sum())
        largest = max(largest, float(values[good].max(initial=0)))
    if n_bad:
        message = f"Normalised counts are finite and not negative; found {n_bad} other entries (scaled data?)."
        raise ValueError(message)
    return largest


def _is_logged(matrix: Any) -> bool:
    """Return whether the first cells are nearer to integers as log1p values than as they are."""
    n_cells, error = 0, np.zeros(2)
    for _, values, filled in _filled_rows(matrix):
        filled = filled[: _CELLS_THAT_DECIDE - n_cells]
        if len(filled):
            indptr = np.append(values.indptr[filled], values.indptr[filled[-1] + 1])
            data = values.data[: indptr[-1]]
            # The mean, not the median: a cell that has only ones says nothing, and most may be such.
            error += [_recover_rows(option, indptr)[1].sum() for option in (data, np.expm1(data))]
            n_cells += len(filled)
        if n_cells == _CELLS_THAT_DECIDE:
            break
    return bool(error[1] < error[0])


def recover_counts(matrix: Any, *, logged: bool | None = None) -> Recovered:
    r"""Recover the integer counts behind normalised expression, block by block.

    Normalising divides each cell by a number of its own, so that the expression of a cell is its counts times an
    unknown scale. The scale that makes the smallest value one count is refined by least squares,
    :math:`s = \sum_g y_g c_g / \sum_g c_g^2` with :math:`c_g = \operatorname{round}(y_g / s)`; where that leaves a
    residual of 0.2 or more, smallest counts of 2 to 4 are tried.

    Parameters
    ----------
    matrix
        Normalised expression, ``(n_obs, n_vars)``, not negative; every kind of matrix is taken.
    logged
        Whether the values are log1p of the expression. If ``None``, what leaves the smaller residuals in the first
        1000 cells that are not empty; values above 30 are never logarithms.

    Returns
    -------
    The counts, the largest residual and whether the values were logged.

    Raises
    ------
    ValueError
        If a value is negative, not finite or too large for a logarithm, or some cell's values are no multiples of one
        number.
    """
    largest = _check_values(matrix)
    if logged and largest > _LARGEST_LOG:
        message = f"Found the value {largest:g}, too large for log1p of expression. Pass `logged=False`."
        raise ValueError(message)
    if logged is None:
        logged = largest <= _LARGEST_LOG and _is_logged(matrix)
    blocks, n_bad, n_filled, worst = [], 0, 0, (0.0, 0)
    for start, values, filled in _filled_rows(matrix):
        if len(filled):
            indptr = np.append(values.indptr[filled], values.nnz)
            values.data, residual = _recover_rows(np.expm1(values.data) if logged else values.data, indptr)
            n_bad += int((residual >= LARGEST_RESIDUAL).sum())
            n_filled += len(filled)
            row = int(np.argmax(residual))
            worst = max(worst, (float(residual[row]), -(start + int(filled[row]))))  # the first of equal ones
        blocks.append(values.astype(np.float32))
    if n_bad:
        message = (
            f"{n_bad} of {n_filled} cells are no multiples of integer counts: row {-worst[1]} is off by "
            f"{worst[0]:.2f} counts, at most {LARGEST_RESIDUAL} is taken for rounding. The matrix may have been "
            "scaled, imputed or batch-corrected; go back to the raw counts."
        )
        raise ValueError(message)
    counts = sparse.vstack(blocks, format="csr") if len(blocks) > 1 else sparse.csr_matrix(*blocks or [matrix.shape])
    return Recovered(counts, worst[0], bool(logged))
