"""How far apart groups of points are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from scipy import sparse
from sklearn.metrics import silhouette_samples

from scgauge._core.rng import RNG, generator
from scgauge._core.sampling import stratified_rows
from scgauge._core.short_repr import short_repr
from scgauge.metrics._distances import iter_distances
from scgauge.metrics._points import Points, as_groups, as_points

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix

#: Mebibytes that scikit-learn may take for a block of distances.
_WORKING_MEMORY = 64


@dataclass(frozen=True)
class DistanceRatio:
    """Mean distances within and between groups; see :func:`distance_ratio`.

    Attributes
    ----------
    within, between, ratio
        Means over all pairs and their quotient ``within / between``.
    groups
        Names of the groups, ``(n_groups,)``; the rest is in this order.
    n_points
        Points of each group, ``(n_groups,)``.
    group_within, group_between, group_ratio
        The same means for the pairs with at least one point in the group, ``(n_groups,)``; within and ratio are NaN
        for a group of one point.
    mean_distances
        Mean distance between the points of two groups, ``(n_groups, n_groups)``; within a group on the diagonal.
    """

    within: float
    between: float
    ratio: float
    groups: np.ndarray
    n_points: np.ndarray
    group_within: np.ndarray
    group_between: np.ndarray
    group_ratio: np.ndarray
    mean_distances: np.ndarray

    __repr__ = short_repr


@dataclass(frozen=True)
class Silhouette:
    """Mean silhouette widths; see :func:`silhouette`.

    Attributes
    ----------
    score
        Mean over the points, from -1 to 1.
    groups
        Names of the groups, ``(n_groups,)``.
    group_score
        Mean over the points of each group, ``(n_groups,)``.
    n_points
        Number of points used.
    """

    score: float
    groups: np.ndarray
    group_score: np.ndarray
    n_points: int

    __repr__ = short_repr


def _grouped(x: Points, labels: Any) -> tuple[Matrix, np.ndarray, np.ndarray]:
    points = as_points(x)
    codes, groups = as_groups(labels, points.shape[0])
    if len(groups) < 2:
        message = f"`labels` has one group only, {groups[0]!r}; at least two are needed to compare."
        raise ValueError(message)
    if len(groups) == len(codes):
        message = f"Each of the {len(groups)} groups has one point only; at least one group needs two."
        raise ValueError(message)
    return points, codes, groups


def distance_ratio(x: Points, labels: Any, *, block_rows: int | None = None) -> DistanceRatio:
    r"""Mean Euclidean distance within groups, between groups, and their quotient.

    With :math:`g(i)` the group of point :math:`i`,

    .. math::

        w = \operatorname{mean}_{i<j,\; g(i)=g(j)} |x_i-x_j|, \qquad
        b = \operatorname{mean}_{i<j,\; g(i)\neq g(j)} |x_i-x_j|, \qquad r = w / b .

    1 means that a group is no closer to itself than to the rest, 0 that each group is a single place. Every pair counts
    once, so large groups weigh more in the overall means. Distances are computed in blocks.

    Parameters
    ----------
    x
        Points, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix.
    labels
        Group of each point, ``(n,)``.
    block_rows
        Rows of a block; from the number of columns if ``None``.

    Returns
    -------
    Frozen dataclass with the overall values, those of each group and the matrix of mean distances.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty or not finite; if labels are missing or their number is wrong; if there is one group
        only, or no group with two points, or all points are the same.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> result = scgauge.metrics.distance_ratio(np.array([[0.0], [1.0], [10.0], [11.0]]), ["a", "a", "b", "b"])
    >>> result.within, result.between, result.ratio
    (1.0, 10.0, 0.1)
    """
    points, codes, groups = _grouped(x, labels)
    unit = np.eye(len(groups))  # row g marks group g
    sums = np.zeros((len(groups), len(groups)))
    for rows, columns, block in iter_distances(points, block_rows=block_rows):
        part = unit[codes[rows]].T @ (block @ unit[codes[columns]])
        sums += part + part.T if rows.start < columns.start else part
    sizes = np.bincount(codes)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    own_sum, own_pairs = np.diag(sums), np.diag(pairs)
    other_sum, other_pairs = sums.sum(axis=1) - own_sum, pairs.sum(axis=1) - own_pairs
    if not other_sum.any():
        message = "All points of `x` are the same, so that no distance can be compared."
        raise ValueError(message)
    with np.errstate(invalid="ignore", divide="ignore"):
        within, between = own_sum / own_pairs, other_sum / other_pairs
        ratio = within / between
        mean_distances = sums / pairs
    overall_within, overall_between = own_sum.sum() / own_pairs.sum(), other_sum.sum() / other_pairs.sum()
    return DistanceRatio(
        within=float(overall_within),
        between=float(overall_between),
        ratio=float(overall_within / overall_between),
        groups=groups,
        n_points=sizes,
        group_within=within,
        group_between=between,
        group_ratio=ratio,
        mean_distances=mean_distances,
    )


def silhouette(x: Points, labels: Any, *, n_max: int = 20_000, rng: RNG = None) -> Silhouette:
    r"""Mean silhouette width with the Euclidean distance, overall and for each group.

    The width of a point is :math:`(b - a) / \max(a, b)` with :math:`a` its mean distance to the rest of its own group
    and :math:`b` the smallest of its mean distances to other groups :cite:p:`Rousseeuw87`; a point alone in its group
    has 0. This is :func:`sklearn.metrics.silhouette_samples`, which passes over the distances in blocks. Its time
    grows with the square of the number of points, so that more than ``n_max`` points are replaced by a sample in
    which every group keeps its share.

    Parameters
    ----------
    x
        Points, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix.
    labels
        Group of each point, ``(n,)``.
    n_max
        Most points to use.
    rng
        Seed or Generator of the sample; not used for ``n_max`` points or fewer.

    Returns
    -------
    Frozen dataclass: ``score``, ``groups``, ``group_score`` and ``n_points``, the number of points used.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty or not finite; if labels are missing or their number is wrong; if there is one group
        only, or no group with two points; if ``n_max`` is not larger than the number of groups.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> result = scgauge.metrics.silhouette(np.array([[0.0], [1.0], [10.0], [11.0]]), ["a", "a", "b", "b"])
    >>> round(result.score, 3)
    0.9
    """
    points, codes, groups = _grouped(x, labels)
    if n_max <= len(groups):
        message = f"n_max={n_max} is too small for {len(groups)} groups; at least {len(groups) + 1} points are needed."
        raise ValueError(message)
    rows = stratified_rows(codes, n_max, generator(rng))
    used, used_codes = points[rows].astype(np.float64), codes[rows]
    if not sparse.issparse(used):
        used -= used.mean(axis=0)  # changes no distance, but scikit-learn's rounding grows with the norms
    with sklearn.config_context(working_memory=_WORKING_MEMORY):
        widths = silhouette_samples(used, used_codes)
    group_score = np.bincount(used_codes, weights=widths) / np.bincount(used_codes)
    return Silhouette(score=float(widths.mean()), groups=groups, group_score=group_score, n_points=len(rows))
