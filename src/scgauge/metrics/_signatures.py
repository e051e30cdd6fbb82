from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import as_dense

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pareto_fronts(points: ArrayLike) -> np.ndarray:
    """Rank points by Pareto fronts: the first holds those that no other point beats.

    A point beats another if it is at least as large in every coordinate and larger in one. The second front is the
    first of what is left, and so on.

    Parameters
    ----------
    points
        Points, all coordinates to be maximised, ``(n_points, n_coordinates)``; without NaN.

    Returns
    -------
    Front of each point, from 1, ``(n_points,)`` integers.

    Raises
    ------
    ValueError
        If `points` is no array of two axes or has NaN.

    Examples
    --------
    >>> import scgauge
    >>> scgauge.metrics.pareto_fronts([[2, 1], [1, 2], [1, 1], [0, 0]]).tolist()
    [1, 1, 2, 3]
    """
    values = as_dense(points, name="points")
    if values.ndim != 2 or np.isnan(values).any():
        message = f"`points` must be an array (n_points, n_coordinates) without NaN; found the shape {values.shape}."
        raise ValueError(message)
    front = np.zeros(len(values), dtype=int)
    left = np.arange(len(values))
    number = 0
    while len(left):
        number += 1
        rest = values[left]
        beaten = np.array([bool(((rest >= point).all(1) & (rest > point).any(1)).any()) for point in rest], dtype=bool)
        front[left[~beaten]] = number
        left = left[beaten]
    return front


@dataclass(frozen=True)
class SetOverlap:
    """Overlap of each pair of sets.

    Attributes
    ----------
    shared
        Number of shared members, ``(n_sets, n_sets)``.
    odds_ratio
        Odds ratio of being in one set for members and others of the other; infinite where a set holds the other.
    pvalue
        One-sided p-value of Fisher's exact test for more shared members than by chance.
    """

    shared: np.ndarray
    odds_ratio: np.ndarray
    pvalue: np.ndarray

    __repr__ = short_repr


def set_overlap(members: ArrayLike) -> SetOverlap:
    """Test for each pair of sets whether they share more members than by chance (Fisher's exact test, one-sided).

    Parameters
    ----------
    members
        Which items belong to which set, ``(n_items, n_sets)`` booleans.

    Returns
    -------
    Shared members, odds ratios and p-values of all pairs.

    Raises
    ------
    ValueError
        If `members` is no array of two axes.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> members = np.zeros((100, 2), dtype=bool)
    >>> members[:10, 0] = members[5:15, 1] = True
    >>> overlap = scgauge.metrics.set_overlap(members)
    >>> int(overlap.shared[0, 1]), round(float(overlap.odds_ratio[0, 1]), 6)
    (5, 17.0)
    """
    inside = np.asarray(members)
    if inside.ndim != 2:
        message = f"`members` must be an array (n_items, n_sets); found the shape {inside.shape}."
        raise ValueError(message)
    inside = inside.astype(bool).astype(np.int64)
    n_items, sizes = len(inside), inside.sum(0)
    shared = inside.T @ inside
    only_one, only_other = sizes[:, None] - shared, sizes[None, :] - shared
    neither = n_items - shared - only_one - only_other
    with np.errstate(divide="ignore", invalid="ignore"):
        odds_ratio = shared * neither / (only_one * only_other)
    pvalue = stats.hypergeom.sf(shared - 1, n_items, sizes[:, None], sizes[None, :])
    return SetOverlap(shared=shared, odds_ratio=odds_ratio, pvalue=np.minimum(pvalue, 1.0))
