"""Two configurations of the same points laid on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import Points, as_dense_points


@dataclass(frozen=True)
class Procrustes:
    """How one configuration was laid on another; see :func:`procrustes`.

    Attributes
    ----------
    disparity
        Sum of squared distances that is left, as a share of the sum of squares of the reference, from 0 to 1.
    aligned
        The other configuration after rotation, reflection, scaling and translation, ``(n, p)``.
    rotation
        Orthogonal matrix, ``(p, p)``, which may reflect.
    scale
        Factor.
    """

    disparity: float
    aligned: np.ndarray
    rotation: np.ndarray
    scale: float

    __repr__ = short_repr


def centred_pair(x: Points, y: Points) -> tuple[np.ndarray, np.ndarray]:
    """Check two configurations of the same points and centre them.

    Raises
    ------
    ValueError
        If the numbers of points differ, or all points of one are at one place.
    """
    parts = []
    for name, points in (("x", x), ("y", y)):
        values = as_dense_points(points, name=name)
        if not np.ptp(values, axis=0).any():
            message = f"`{name}` has all {len(values)} points at one place; there is nothing to compare."
            raise ValueError(message)
        parts.append(values - values.mean(axis=0))
    if len(parts[0]) != len(parts[1]):
        message = f"`x` has {len(parts[0])} points and `y` {len(parts[1])}; both need the same points."
        raise ValueError(message)
    return parts[0], parts[1]


def procrustes(x: Points, y: Points) -> Procrustes:
    r"""Lay one configuration of points on another by translation, rotation, reflection and one scale.

    The disparity is :math:`1 - (\sum_i \sigma_i)^2 / (|X|^2 |Y|^2)` with the singular values of :math:`X^\top Y`, both
    centred: the number of :func:`scipy.spatial.procrustes`, the same in both directions :cite:p:`Gower75`. The
    configuration with fewer columns is filled up with zeros.

    Parameters
    ----------
    x
        Reference, ``(n, p)``.
    y
        The same points elsewhere, ``(n, q)``.

    Returns
    -------
    Frozen dataclass with the disparity and `y` as it lies on `x`, in the units of `x`.

    Raises
    ------
    TypeError
        If points are sparse, an AnnData or not numeric.
    ValueError
        If points are not 2-D or not finite, their numbers differ, or all points of one are at one place.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> found = scgauge.metrics.procrustes(x, 3 * x[:, ::-1] + 5)
    >>> round(found.disparity, 12), bool(np.allclose(found.aligned, x))
    (0.0, True)
    """
    first, second = centred_pair(x, y)
    width = max(first.shape[1], second.shape[1])
    first, second = (np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (first, second))
    left, singular, right = np.linalg.svd(second.T @ first)
    rotation = left @ right
    scale = float(singular.sum() / (second**2).sum())
    shared = float(singular.sum() ** 2 / ((first**2).sum() * (second**2).sum()))
    reference = as_dense_points(x)
    centre = np.pad(reference.mean(axis=0), (0, width - reference.shape[1]))
    return Procrustes(
        disparity=max(0.0, 1 - shared), aligned=scale * second @ rotation + centre, rotation=rotation, scale=scale
    )


def linear_cka(x: Points, y: Points) -> float:
    r"""Linear centred kernel alignment of two representations of the same points.

    :math:`|X^\top Y|_F^2 / (|X^\top X|_F |Y^\top Y|_F)` with centred columns :cite:p:`Kornblith19`: 1 for
    representations that are equal up to rotation and scale, 0 for uncorrelated ones. It weighs directions by their
    variance. Nothing grows with the square of the number of points.

    Parameters
    ----------
    x
        First representation, ``(n, p)``.
    y
        Second representation, ``(n, q)``.

    Returns
    -------
    The alignment, from 0 to 1.

    Raises
    ------
    TypeError
        If points are sparse, an AnnData or not numeric.
    ValueError
        If points are not 2-D or not finite, their numbers differ, or all points of one are at one place.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(scgauge.metrics.linear_cka(x, 2 * x[:, ::-1]), 6)
    1.0
    """
    first, second = centred_pair(x, y)
    between = np.square(first.T @ second).sum()
    within = np.sqrt(np.square(first.T @ first).sum() * np.square(second.T @ second).sum())
    return float(between / within)
