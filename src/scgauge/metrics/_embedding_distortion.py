"""How an embedding stretches, squeezes and tears the space that it shows, place by place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scgauge._core.short_repr import short_repr
from scgauge.metrics._embedding_quality import dense_points, neighbor_numbers
from scgauge.metrics._neighbors import nearest

if TYPE_CHECKING:
    from scgauge.metrics._points import Points

#: Windows of true distance, and the reach of the boxes within them, in interquartile ranges.
_WINDOWS, _REACH = 20, 3.0
#: Stretches that differ by less are equal.
_ROUNDING = 1e-6
#: Rows of the kernel at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class EmbeddingDistortion:
    """Local distortion of an embedding; see :func:`embedding_distortion`.

    Attributes
    ----------
    metric
        Dual Riemannian metric at each point, ``(n, q, q)``: the second moments in the embedding of a true neighbourhood
        of unit size.
    log_area
        Log of how much larger than the median true areas are drawn, ``(n,)``; volumes for more than two dimensions.
        Minus infinite where a neighbourhood is drawn without width.
    anisotropy
        Largest through smallest stretch, ``(n,)``, at least 1, and infinite without width.
    broken
        Share of the true neighbours of each point that were torn away from it, ``(n,)``.
    bandwidth
        Bandwidth of the kernel, in the units of the reference.
    """

    metric: np.ndarray
    log_area: np.ndarray
    anisotropy: np.ndarray
    broken: np.ndarray
    bandwidth: float

    __repr__ = short_repr


def _transition(distances: np.ndarray, neighbors: np.ndarray, bandwidth: float) -> sparse.csr_matrix:
    """Random walk on the neighbour graph, renormalised so that the density of points does not matter."""
    n, k = neighbors.shape
    weights = np.exp(-((distances / bandwidth) ** 2))
    kernel = sparse.csr_matrix((weights.ravel(), neighbors.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    kernel = kernel.maximum(kernel.T).tocsr()
    density = np.asarray(kernel.sum(axis=1)).ravel()
    kernel = sparse.diags(1 / density) @ kernel @ sparse.diags(1 / density)
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(kernel.sum(axis=1)).ravel()) @ kernel)


def _second_moments(true: np.ndarray, shown: np.ndarray, walk: sparse.csr_matrix) -> np.ndarray:
    """Mean products of embedded steps of the walk, for a mean squared true step of q, ``(n, q, q)``."""
    n, q = shown.shape
    moments = np.empty((n, q, q))
    for start in range(0, n, _BLOCK):
        part = walk[start : start + _BLOCK]
        rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        steps = shown[part.indices] - shown[start + rows]
        true_squares = np.empty(len(rows))
        for begin in range(0, len(rows), 2**16):
            piece = slice(begin, begin + 2**16)
            true_squares[piece] = np.square(true[part.indices[piece]] - true[start + rows[piece]]).sum(axis=1)
        size = np.bincount(rows, part.data * true_squares, part.shape[0])
        for a in range(q):
            for b in range(q):
                sums = np.bincount(rows, part.data * steps[:, a] * steps[:, b], part.shape[0])
                moments[start : start + part.shape[0], a, b] = q * sums / size
    return moments


def _broken(distances: np.ndarray, shown: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Share of links that are stretched far more than others of about the same true length."""
    drawn = np.stack([np.linalg.norm(shown[column] - shown, axis=1) for column in neighbors.T], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.where(drawn > 0, drawn / distances, 0.0).ravel()
    torn = np.zeros(stretch.size, dtype=bool)
    for window in np.array_split(np.argsort(distances, axis=None, kind="stable"), min(_WINDOWS, stretch.size)):
        low, high = np.percentile(stretch[window], [25, 75])
        torn[window] = stretch[window] > (high + _REACH * (high - low)) * (1 + _ROUNDING)
    return torn.reshape(drawn.shape).mean(axis=1)


def embedding_distortion(
    reference: Points, embedding: Points, *, n_neighbors: int = 50, bandwidth: float | None = None
) -> EmbeddingDistortion:
    r"""Measure how an embedding stretches and squeezes each neighbourhood, and which neighbourhoods it breaks.

    With the random walk :math:`p_{ij}` of a Gaussian kernel of bandwidth :math:`\varepsilon` on the graph of the
    nearest neighbours, renormalised for density, the dual Riemannian metric of :cite:t:`PerraultJoncas13` is

    .. math::

        H_i = \tfrac{c_i}{2} \left( L(y y^\top) - y\, (L y)^\top - (L y)\, y^\top \right)_i
            = c_i \sum_j p_{ij} (y_j - y_i)(y_j - y_i)^\top, \qquad L = P - I .

    They take :math:`c_i = 2/\varepsilon^2`, exact for :math:`\varepsilon \to 0` only; here it is
    :math:`q / \sum_j p_{ij} |x_j - x_i|^2` with :math:`q` the dimension of the embedding, so that an embedding that
    keeps all distances has a metric with the trace `q` at each point, whatever the bandwidth. The area factor is
    :math:`\sqrt{\det H}`, the anisotropy the root of the quotient of its eigenvalues. A link to a true neighbour is
    broken if it is stretched by more than three interquartile ranges above the upper quartile of the links of about the
    same true length (20 windows).

    Parameters
    ----------
    reference
        Points in the space that is shown, ``(n, p)``, dense.
    embedding
        The same points in the embedding, ``(n, q)``.
    n_neighbors
        Number of true neighbours of each point, below half their number.
    bandwidth
        Bandwidth of the kernel; the median distance to the farthest of the neighbours if ``None``.

    Returns
    -------
    Frozen dataclass with the metric, log area, anisotropy and share of broken links of each point. Where the embedding
    puts all neighbours on a line, the log area is minus infinity and the anisotropy infinite.

    Raises
    ------
    TypeError
        If points are sparse, an AnnData or not numeric.
    ValueError
        If points are not 2-D, not finite or all at one place; if their numbers differ; if the number of neighbours or
        the bandwidth is out of range; if points have as many exact copies as neighbours.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> points = np.random.default_rng(0).uniform(size=(500, 2))
    >>> found = scgauge.metrics.embedding_distortion(points, points * [3.0, 1.0], n_neighbors=30)
    >>> round(float(np.median(found.anisotropy)))
    3
    """
    true, shown = dense_points(reference, "reference"), dense_points(embedding, "embedding")
    if len(true) != len(shown):
        message = f"`embedding` has {len(shown)} points and `reference` {len(true)}; both need the same points."
        raise ValueError(message)
    k = int(neighbor_numbers(n_neighbors, len(true))[-1])
    distances, neighbors = nearest(true, n_neighbors=k)
    n_copies = int((distances[:, -1] == 0).sum())
    if n_copies:
        message = f"{n_copies} points have {k} or more exact copies, and no neighbourhood. Drop duplicated cells."
        raise ValueError(message)
    bandwidth = float(np.median(distances[:, -1])) if bandwidth is None else float(bandwidth)
    if not bandwidth > 0 or (distances[:, 0] / bandwidth > 25).any():
        message = f"bandwidth={bandwidth} is not positive, or so small that points have no neighbour within it."
        raise ValueError(message)
    metric = _second_moments(true, shown, _transition(distances, neighbors, bandwidth))
    values = np.linalg.eigvalsh(metric)
    values = np.where(values <= 1e-12 * values[:, -1:], 0.0, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_area = np.log(values).sum(axis=1) / 2
        anisotropy = np.sqrt(values[:, -1] / values[:, 0])
    if np.isfinite(log_area).any():
        log_area -= np.median(log_area[np.isfinite(log_area)])
    return EmbeddingDistortion(
        metric=metric,
        log_area=log_area,
        anisotropy=anisotropy,
        broken=_broken(distances, shown, neighbors),
        bandwidth=bandwidth,
    )
