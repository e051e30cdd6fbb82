"""Integer counts from matrices that were normalised cell by cell and perhaps logged."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from scgauge._core.matrix import as_rows

#: Largest distance from an integer, in counts, that is taken for rounding of the stored values.
LARGEST_RESIDUAL = 0.2
#: Largest smallest count of a cell that is tried.
_LARGEST_MINIMUM = 4
#: Values above this are not logarithms of expression: their exponential would exceed any count.
_LARGEST_LOG = 30.0


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


def _row_sums(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    total = np.concatenate(([0.0], np.cumsum(values)))
    return total[indptr[1:]] - total[indptr[:-1]]


def _row_extreme(values: np.ndarray, indptr: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """Return the smallest or largest value of each row; the rows must not be empty."""
    return extreme.reduceat(values, indptr[:-1])


def _rescale(values: np.ndarray, indptr: np.ndarray, minimum: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and largest residual of each row if its smallest count is `minimum`."""
    lengths = np.diff(indptr)
    scale = _row_extreme(values, indptr, np.minimum) / minimum
    counts = np.rint(values / np.repeat(scale, lengths))
    for _ in range(2):  # counts that a better scale rounds elsewhere improve the scale once more
        scale = _row_sums(values * counts, indptr) / _row_sums(counts * counts, indptr)
        counts = np.rint(values / np.repeat(scale, lengths))
    residual = np.abs(values / np.repeat(scale, lengths) - counts)
    return counts, _row_extreme(residual, indptr, np.maximum)


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


def recover_counts(matrix: Any, *, logged: bool | None = None) -> Recovered:
    r"""Recover the integer counts behind normalised expression.

    Normalising divides each cell by a number of its own, so that the expression of a cell is its counts times an
    unknown scale. The scale that makes the smallest value one count is refined by least squares,
    :math:`s = \sum_g y_g c_g / \sum_g c_g^2` with :math:`c_g = \operatorname{round}(y_g / s)`; where that leaves a
    residual of 0.2 or more, smallest counts of 2 to 4 are tried.

    Parameters
    ----------
    matrix
        Normalised expression, ``(n_obs, n_vars)``, not negative; every kind of matrix is taken.
    logged
        Whether the values are log1p of the expression. If ``None``, what leaves the smaller residual.

    Returns
    -------
    The counts, the largest residual and whether the values were logged.

    Raises
    ------
    ValueError
        If a value is negative or not finite, or some cell's values are no multiples of one number.
    """
    rows = sparse.csr_matrix(as_rows(matrix), dtype=np.float64, copy=True)
    rows.eliminate_zeros()
    if not (np.isfinite(rows.data) & (rows.data > 0)).all():
        n_bad = int((~(np.isfinite(rows.data) & (rows.data > 0))).sum())
        message = f"Normalised counts are finite and not negative; found {n_bad} other entries (scaled data?)."
        raise ValueError(message)
    filled = np.flatnonzero(np.diff(rows.indptr))
    if len(filled) == 0:
        return Recovered(rows.astype(np.float32), 0.0, bool(logged))
    indptr = np.append(rows.indptr[filled], rows.nnz)
    options = [False, True] if logged is None else [logged]
    if rows.data.max() > _LARGEST_LOG and logged is None:
        options = [False]
    attempts = [(option, *_recover_rows(np.expm1(rows.data) if option else rows.data, indptr)) for option in options]
    is_logged, counts, residual = min(attempts, key=lambda attempt: np.median(attempt[2]))
    worst = int(np.argmax(residual))
    if residual[worst] >= LARGEST_RESIDUAL:
        n_bad = int((residual >= LARGEST_RESIDUAL).sum())
        message = (
            f"{n_bad} of {len(filled)} cells are no multiples of integer counts: row {filled[worst]} is off by "
            f"{residual[worst]:.2f} counts, at most {LARGEST_RESIDUAL} is taken for rounding. The matrix may have been "
            "scaled, imputed or batch-corrected; go back to the raw counts."
        )
        raise ValueError(message)
    rows.data = counts
    return Recovered(rows.astype(np.float32), float(residual[worst]), is_logged)
