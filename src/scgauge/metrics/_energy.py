from __future__ import annotations

from typing import Literal, get_args

from scgauge.metrics._distances import distance_sum
from scgauge.metrics._points import Points, as_points

Estimator = Literal["u", "v"]


def energy_distance(x: Points, y: Points, *, estimator: Estimator = "u") -> float:
    r"""Energy distance between two samples.

    For samples :math:`X` of size :math:`n` and :math:`Y` of size :math:`m` and the Euclidean norm,

    .. math::

        \mathcal{E} = 2\,\mathrm{E}|X-Y| - \mathrm{E}|X-X'| - \mathrm{E}|Y-Y'| .

    It is 0 in expectation exactly if both samples have the same distribution, and it sees differences in location,
    spread and dependence alike :cite:p:`Szekely13`. Distances are computed in float64 in blocks; time grows with
    :math:`(n+m)^2 p`, memory does not.

    Parameters
    ----------
    x
        First sample, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix.
    y
        Second sample, ``(m, p)``.
    estimator
        How the two means within a sample are taken. ``"u"``: over pairs of different points, unbiased, may be negative,
        needs two points in each sample. ``"v"``: over all pairs, each point with itself included, never negative,
        biased upward.

    Returns
    -------
    The distance, in the units of the data. :math:`\frac{nm}{n+m}` times the ``"v"`` form is the energy test statistic.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or has values that are not finite; if the numbers of columns differ; if
        ``estimator`` is unknown, or is ``"u"`` with a single point in a sample.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    >>> scgauge.metrics.energy_distance(x, y, estimator="v")
    1.0
    >>> scgauge.metrics.energy_distance(x, y)
    -1.0
    """
    if estimator not in get_args(Estimator):
        message = f"estimator={estimator!r} is unknown; use one of {list(get_args(Estimator))}."
        raise ValueError(message)
    first, second = as_points(x, name="x"), as_points(y, name="y")
    (n, p), (m, q) = first.shape, second.shape
    if p != q:
        message = f"`x` has {p} columns and `y` has {q}; both samples need the same variables."
        raise ValueError(message)
    if estimator == "u" and min(n, m) < 2:
        message = f"estimator='u' needs two points in each sample; found {n} and {m}. Use estimator='v'."
        raise ValueError(message)
    bessel = 1 if estimator == "u" else 0
    between = distance_sum(first, second) / (n * m)
    within = distance_sum(first) / (n * (n - bessel)) + distance_sum(second) / (m * (m - bessel))
    return 2 * between - within
