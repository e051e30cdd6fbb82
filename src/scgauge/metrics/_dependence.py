from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.covariance import ledoit_wolf_shrinkage

from scgauge.metrics._points import Points, as_dense, as_points

Dependence = Literal["pearson", "spearman", "covariance", "partial"]


@dataclass(frozen=True)
class MatrixAgreement:
    """How two symmetric matrices compare over the pairs above their diagonals; see :func:`matrix_agreement`.

    Attributes
    ----------
    bias
        Mean of second minus first.
    rmse
        Root mean squared difference.
    pearson
        Correlation over pairs; NaN where all pairs of a matrix are equal.
    slope
        Slope of the regression of the second on the first: below 1 where dependence is too weak; NaN likewise.
    relative
        Frobenius norm of the difference over that of the first, diagonals included.
    n_pairs
        Pairs with both values finite.
    """

    bias: float
    rmse: float
    pearson: float
    slope: float
    relative: float
    n_pairs: int


def dependence(x: Points, *, kind: Dependence = "pearson") -> np.ndarray:
    r"""Dependence of every pair of variables.

    ``"partial"`` is the correlation of two variables given all others, from the inverse of the correlation matrix
    :math:`R` shrunk towards the identity, :math:`(1-\lambda) R + \lambda I` with the :math:`\lambda` of
    :cite:t:`Ledoit04`, so that it exists also with more variables than observations.

    Parameters
    ----------
    x
        Observations, ``(n, p)``, of at most a few thousand variables; made dense.
    kind
        ``"pearson"``, ``"spearman"`` (ranks, ties averaged), ``"covariance"`` (divisor :math:`n - 1`) or ``"partial"``.

    Returns
    -------
    Symmetric matrix, ``(p, p)``. Correlations of a variable that does not vary are 0 with others, 1 with itself.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, has fewer than two rows or values that are not finite; if ``kind`` is unknown.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 9.0]])
    >>> round(float(scgauge.metrics.dependence(x, kind="spearman")[0, 1]), 6)
    1.0
    >>> scgauge.metrics.dependence(x, kind="covariance").tolist()
    [[1.0, 3.5], [3.5, 13.0]]
    """
    if kind not in get_args(Dependence):
        message = f"kind={kind!r} is unknown; use one of {list(get_args(Dependence))}."
        raise ValueError(message)
    points = as_points(x)
    if points.shape[0] < 2:
        message = "`x` has one row; dependence needs at least two."
        raise ValueError(message)
    values = np.asarray(points.toarray() if sparse.issparse(points) else points, dtype=np.float64)
    if kind == "spearman":
        values = rankdata(values, axis=0)
    centred = values - values.mean(axis=0)
    if kind == "covariance":
        return centred.T @ centred / (len(values) - 1)
    scale = np.sqrt((centred**2).mean(axis=0))
    varies = scale > 1e-12 * np.maximum(1, np.abs(values).max(axis=0))
    standard = np.where(varies, centred / np.where(varies, scale, 1), 0)
    correlation = np.clip(standard.T @ standard / len(values), -1, 1)
    np.fill_diagonal(correlation, 1)
    if kind != "partial":
        return correlation
    shrinkage = ledoit_wolf_shrinkage(standard, assume_centered=True)
    precision = np.linalg.inv((1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation)))
    root = np.sqrt(np.diag(precision))
    partial = -precision / np.outer(root, root)
    np.fill_diagonal(partial, 1)
    return partial


def matrix_agreement(x: np.ndarray, y: np.ndarray) -> MatrixAgreement:
    """Compare two symmetric matrices, for example the gene-gene correlations of real and synthetic cells.

    Parameters
    ----------
    x
        Reference matrix, ``(p, p)``.
    y
        Matrix to compare with it, ``(p, p)``.

    Returns
    -------
    Frozen dataclass: ``bias``, ``rmse``, ``pearson``, ``slope`` over the pairs above the diagonal where both are
    finite, ``relative`` over all finite entries, and ``n_pairs``.

    Raises
    ------
    ValueError
        If the matrices are not square, differ in shape, or have no pair with finite values.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.array([[1.0, 0.4, 0.2], [0.4, 1.0, 0.0], [0.2, 0.0, 1.0]])
    >>> result = scgauge.metrics.matrix_agreement(x, x / 2)
    >>> round(result.slope, 6), round(result.pearson, 6), result.n_pairs
    (0.5, 1.0, 3)
    """
    first, second = as_dense(x, name="x"), as_dense(y, name="y")
    if first.ndim != 2 or first.shape[0] != first.shape[1] or first.shape != second.shape:
        message = f"`x` and `y` need to be square and of one shape; found {first.shape} and {second.shape}."
        raise ValueError(message)
    upper = np.triu_indices(len(first), 1)
    a, b = first[upper], second[upper]
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        message = "`x` and `y` have no pair of variables with finite values in both."
        raise ValueError(message)
    a, b = a[finite], b[finite]
    everywhere = np.isfinite(first) & np.isfinite(second)
    norm = np.linalg.norm(first[everywhere])
    from_a, from_b = a - a.mean(), b - b.mean()
    spread, product = float(from_a @ from_a), np.sqrt(float(from_a @ from_a) * float(from_b @ from_b))
    return MatrixAgreement(
        bias=float((b - a).mean()),
        rmse=float(np.sqrt(((b - a) ** 2).mean())),
        pearson=float(from_a @ from_b / product) if product > 0 else float("nan"),
        slope=float(from_a @ from_b) / spread if spread > 0 else float("nan"),
        relative=float(np.linalg.norm((second - first)[everywhere]) / norm) if norm > 0 else float("nan"),
        n_pairs=int(finite.sum()),
    )
