"""How much of a known change of latent points an embedding shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import Points, as_dense_points

#: Angle and scale need an embedding that follows the latent points: least share of variance and largest condition.
_LEAST_R2, _LARGEST_CONDITION = 0.5, 100.0


@dataclass(frozen=True)
class TransformationRecovery:
    """A change as the truth and as an embedding has it; see :func:`transformation_recovery`.

    Attributes
    ----------
    matrix
        Linear map of the latent plane that the embedding shows, ``(2, 2)``, rows to rows: ``z @ matrix``.
    angle, true_angle
        Its rotation in degrees, and that of the truth, counter-clockwise from -180 to 180.
    angle_error
        Absolute difference of the two, from 0 to 180.
    scale, true_scale
        Square root of the change of area.
    log_scale_error
        ``log(scale / true_scale)``: negative where the embedding shows less spreading.
    anisotropy
        Largest through smallest stretch of the map, at least 1.
    skill
        1 if the embedding moves every point as the truth says, 0 if that predicts no better than "nothing changed"; NaN
        if nothing changed exactly.
    cosine
        Mean cosine of the angle between the displacements of points in the embedding and those expected.
    displacement
        Root mean square displacement in the embedding, after fits that take out the noise of single points.
    r2
        Share of the variance of the embedding before that is linear in the latent points.
    condition
        Condition number of that linear map.
    """

    matrix: np.ndarray
    angle: float
    true_angle: float
    angle_error: float
    scale: float
    true_scale: float
    log_scale_error: float
    anisotropy: float
    skill: float
    cosine: float
    displacement: float
    r2: float
    condition: float

    __repr__ = short_repr


def _affine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares map with intercept in the last row, ``(p + 1, q)``."""
    return np.linalg.lstsq(_with_one(x), y, rcond=None)[0]


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x, np.ones(len(x))])


def _rotation_and_stretch(matrix: np.ndarray) -> tuple[float, float, float]:
    """Angle in degrees, square root of the change of area, and anisotropy by the polar decomposition."""
    if not np.isfinite(matrix).all():
        return float("nan"), float("nan"), float("nan")
    left, stretch, right = np.linalg.svd(matrix)
    turn = left @ np.diag([1.0, np.linalg.det(left @ right)]) @ right
    ratio = float(stretch[0] / stretch[1]) if stretch[1] > 0 else float("inf")
    return float(np.degrees(np.arctan2(turn[0, 1], turn[0, 0]))), float(np.sqrt(stretch.prod())), ratio


def _cosine(moved: np.ndarray, expected: np.ndarray) -> float:
    norms = np.linalg.norm(moved, axis=1) * np.linalg.norm(expected, axis=1)
    rows = norms > 0
    return float(((moved * expected).sum(axis=1)[rows] / norms[rows]).mean()) if rows.any() else float("nan")


def _checked(arrays: dict[str, Points]) -> list[np.ndarray]:
    found = {name: as_dense_points(points, name=name) for name, points in arrays.items()}
    sizes = {name: len(points) for name, points in found.items()}
    if len(set(sizes.values())) > 1:
        message = f"All arrays need the same points; found {sizes} rows."
        raise ValueError(message)
    for one, other in (("latent", "transformed"), ("before", "after")):
        if found[one].shape[1] != found[other].shape[1]:
            message = f"`{one}` has {found[one].shape[1]} columns and `{other}` {found[other].shape[1]}."
            raise ValueError(message)
    n, d = found["latent"].shape
    if n < d + 3:
        message = f"{n} points are too few for a linear fit in {d} dimensions; {d + 3} are needed."
        raise ValueError(message)
    return list(found.values())


def transformation_recovery(
    latent: Points, transformed: Points, *, before: Points, after: Points, plane: tuple[int, int] = (0, 1)
) -> TransformationRecovery:
    r"""Compare a known change of latent points with what an embedding of the cells before and after shows.

    With latent points :math:`z`, their known images :math:`T(z)` and the places of the same cells in one joint
    embedding before and after, affine fits :math:`y_{pre} \approx z A + a` and :math:`y_{post} \approx z C + c` give
    the map :math:`M = C A^+` of the latent space that the embedding shows, without attenuation by the noise of single
    cells. Its polar decomposition in the `plane` is compared with that of the best linear map from :math:`z` to
    :math:`T(z)`. The skill is

    .. math::

        1 - \frac{\sum |y_{post} - T(z) A - a|^2}{\sum |y_{post} - z A - a|^2} .

    Angle, scale and anisotropy are NaN where the embedding does not follow the latent points: less than half of its
    variance is linear in them, or the condition of the fit in the plane is above 100. The idea of the experiment is
    that of :cite:t:`Hackenberg25`; the numbers are ours.

    Parameters
    ----------
    latent
        Latent points, ``(n, d)``.
    transformed
        Their images, ``(n, d)``.
    before, after
        The same points in an embedding before and after, ``(n, q)``.
    plane
        The two latent dimensions in which angle and scale are measured; with other dimensions held.

    Returns
    -------
    Frozen dataclass with the recovered map and its errors.

    Raises
    ------
    TypeError
        If an array is sparse, an AnnData or not numeric.
    ValueError
        If arrays are not finite, differ in rows or columns, have fewer than ``d + 3`` points, or the plane is not two
        different latent dimensions.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> turn = 1.8 * np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    >>> decoder = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]])
    >>> found = scgauge.metrics.transformation_recovery(z, z @ turn, before=z @ decoder, after=z @ turn @ decoder)
    >>> round(found.angle, 6), round(found.scale, 6), round(found.skill, 6)
    (45.0, 1.8, 1.0)
    """
    z, image, pre, post = _checked({"latent": latent, "transformed": transformed, "before": before, "after": after})
    if len(set(plane)) != 2 or not all(0 <= axis < z.shape[1] for axis in plane):
        message = f"plane={plane} needs two different latent dimensions from 0 to {z.shape[1] - 1}."
        raise ValueError(message)
    axes = list(plane)
    fit_pre, fit_post = _affine(z, pre), _affine(z, post)
    centred = pre - pre.mean(axis=0)
    spread = float((centred**2).sum())
    r2 = 1 - float(((pre - _with_one(z) @ fit_pre) ** 2).sum()) / spread if spread > 0 else 0.0
    singular = np.linalg.svd(fit_pre[axes], compute_uv=False)
    condition = float(singular[0] / singular[-1]) if len(singular) > 1 and singular[-1] > 0 else float("inf")
    matrix = np.full((2, 2), np.nan)
    if r2 >= _LEAST_R2 and condition <= _LARGEST_CONDITION:
        matrix = fit_post[axes] @ np.linalg.pinv(fit_pre[axes])
    true_angle, true_scale, _ = _rotation_and_stretch(_affine(z, image)[np.ix_(axes, axes)])
    angle, scale, anisotropy = _rotation_and_stretch(matrix)
    same, expected = _with_one(z) @ fit_pre, _with_one(image) @ fit_pre
    nothing = float(((post - same) ** 2).sum())
    rounding = 1e-20 * float((post**2).sum())
    moved = _with_one(z) @ (fit_post - fit_pre)
    with np.errstate(divide="ignore"):
        log_scale_error = float(np.log(scale / true_scale)) if true_scale > 0 else float("nan")
    return TransformationRecovery(
        matrix=matrix,
        angle=angle,
        true_angle=true_angle,
        angle_error=abs((angle - true_angle + 180) % 360 - 180),
        scale=scale,
        true_scale=true_scale,
        log_scale_error=log_scale_error,
        anisotropy=anisotropy,
        skill=1 - float(((post - expected) ** 2).sum()) / nothing if nothing > rounding else float("nan"),
        cosine=_cosine(post - pre, expected - same),
        displacement=float(np.sqrt((moved**2).sum(axis=1).mean())),
        r2=r2,
        condition=condition,
    )
