from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from scgauge._core.short_repr import short_repr
from scgauge.metrics._rotation import as_loadings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class FactorMatch:
    """Which factor of one set of loadings is which factor of another.

    Attributes
    ----------
    match
        For each factor of the reference the column of the other loadings, ``(n_factors,)``; -1 where the other has
        fewer factors and none is left.
    correlation
        Correlation over genes of each matched pair, signed, ``(n_factors,)``; NaN where there is no partner.
    all_correlations
        Correlations of all pairs, ``(n_factors, n_other)``.
    """

    match: np.ndarray
    correlation: np.ndarray
    all_correlations: np.ndarray

    __repr__ = short_repr


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlations of the columns; 0 for a column without variance, which resembles nothing."""
    parts = []
    for values in (one, other):
        centred = values - values.mean(0)
        norm = np.linalg.norm(centred, axis=0)
        scale = np.linalg.norm(values, axis=0)
        constant = norm <= 1e-12 * np.maximum(scale, 1e-300)
        parts.append(np.where(constant, 0.0, centred / np.where(constant, 1.0, norm)))
    return np.clip(parts[0].T @ parts[1], -1, 1)


def match_loadings(reference: ArrayLike, other: ArrayLike) -> FactorMatch:
    """Pair the factors of two sets of loadings so that the sum of absolute correlations over genes is largest.

    The pairing is optimal (Hungarian method), one to one. Models with a normal prior have factors that are free up to
    a rotation: rotate both in the same way first (:func:`varimax`), else a low correlation says nothing.

    Parameters
    ----------
    reference, other
        Loadings of the same genes, ``(n_genes, n_factors)`` and ``(n_genes, n_other)``.

    Returns
    -------
    The pairing and its correlations.

    Raises
    ------
    ValueError
        If loadings are not finite two-dimensional arrays or differ in the number of genes.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> reference = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> found = scgauge.metrics.match_loadings(reference, -reference[:, ::-1])
    >>> found.match.tolist(), found.correlation.round(3).tolist()
    ([1, 0], [-1.0, -1.0])
    """
    one, two = as_loadings(reference, name="reference"), as_loadings(other, name="other")
    if len(one) != len(two):
        message = f"`reference` has {len(one)} genes and `other` {len(two)}; loadings of the same genes are needed."
        raise ValueError(message)
    correlations = _correlations(one, two)
    rows, columns = linear_sum_assignment(-np.abs(correlations))
    match = np.full(one.shape[1], -1)
    match[rows] = columns
    signed = np.full(one.shape[1], np.nan)
    signed[rows] = correlations[rows, columns]
    return FactorMatch(match=match, correlation=signed, all_correlations=correlations)
