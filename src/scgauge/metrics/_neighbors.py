"""Nearest neighbours, exact and in blocks."""

from __future__ import annotations

import numpy as np
import sklearn
from sklearn.neighbors import NearestNeighbors

#: Mebibytes that scikit-learn may take for a block of distances.
_WORKING_MEMORY = 64


def nearest(
    queries: np.ndarray, points: np.ndarray | None = None, *, n_neighbors: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest points and their rows, nearest first, ``(n_queries, n_neighbors)`` each.

    Without `points` the neighbours of each query among the others, never itself. The points found are those of
    scikit-learn's search; their distances are taken again from the differences, so that equal points have distance 0.

    Parameters
    ----------
    queries, points
        Dense points, ``(n_queries, p)`` and ``(n_points, p)``.
    n_neighbors
        Number of neighbours.
    """
    among = queries if points is None else points
    queries, among = (np.ascontiguousarray(part, dtype=np.float64) for part in (queries, among))
    centre = among.mean(axis=0)  # changes no distance, but rounding grows with the norms
    with sklearn.config_context(working_memory=_WORKING_MEMORY):
        search = NearestNeighbors(n_neighbors=n_neighbors).fit(among - centre)
        found = search.kneighbors(None if points is None else queries - centre, return_distance=False)
    distances = np.empty(found.shape)
    for column in range(n_neighbors):
        distances[:, column] = np.linalg.norm(queries - among[found[:, column]], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(found, order, axis=1)
