from __future__ import annotations

import numpy as np

from scgauge._core.optional import need
from scgauge.metrics._distances import dense_rows, euclidean
from scgauge.metrics._points import Points, as_points


def wasserstein_distance(x: Points, y: Points) -> float:
    r"""Exact Wasserstein-1 distance between two samples: the least mean distance over which one moves to the other.

    :math:`W_1 = \min_{\pi} \sum_{ij} \pi_{ij} |x_i - y_j|` over couplings :math:`\pi` with uniform marginals, by the
    network simplex of POT :cite:p:`Flamary21`. Time and memory grow with the product of the sizes; two thousand points
    against a few hundred take a second.

    Parameters
    ----------
    x
        First sample, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix.
    y
        Second sample, ``(m, p)``.

    Returns
    -------
    The distance, in the units of the data.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or has values that are not finite, or the numbers of columns differ.
    ImportError
        If POT is not installed.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    >>> scgauge.metrics.wasserstein_distance(x, y)
    1.0
    """
    first, second = as_points(x, name="x"), as_points(y, name="y")
    if first.shape[1] != second.shape[1]:
        message = f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both need the same variables."
        raise ValueError(message)
    pot = need("ot", extra="ot", purpose="exact Wasserstein distances")
    cost = euclidean(dense_rows(first, slice(None)), dense_rows(second, slice(None)))
    return float(pot.emd2([], [], cost, numItermax=10_000_000))


def couple_pairs(x: np.ndarray, y: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs of rows from the coupling of two samples with the least mean squared distance, ``(n,)`` each."""
    pot = need("ot", extra="ot", purpose="optimal-transport interpolation")
    plan = pot.emd([], [], np.square(euclidean(x, y)), numItermax=10_000_000)
    drawn = rng.choice(plan.size, n, p=plan.ravel() / plan.sum())
    return np.divmod(drawn, plan.shape[1])
