"""Ranks of all points as seen from some of them, in blocks of rows: never all of them in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.metrics._distances import euclidean

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of one block of distances; about eight arrays of this size live at a time.
_BLOCK_BYTES = 16 * 2**20


def row_blocks(rows: np.ndarray, n_points: int) -> Iterator[slice]:
    """Slices of `rows` so short that their distances to all points stay within a block."""
    size = max(1, _BLOCK_BYTES // (8 * n_points))
    for start in range(0, len(rows), size):
        yield slice(start, min(start + size, len(rows)))


class Ranking:
    """Order of all points by their distance from a query point.

    Distance and point share one 64-bit integer: the leading bits are those of the distance, the last ones, below the
    rounding of the distances, number the points. Integers are sorted faster than positions, and ties have an order.

    Parameters
    ----------
    points
        All points, ``(n, p)``, float64.
    ties
        Permutation of the points, ``(n,)``: their order where distances are equal up to rounding.
    """

    def __init__(self, points: np.ndarray, ties: np.ndarray):
        self._points = points
        self._ties = ties.astype(np.int64)
        self._mask = np.int64((1 << int(len(points) - 1).bit_length()) - 1)
        self._point_of = np.argsort(ties)

    def order(self, rows: np.ndarray) -> np.ndarray:
        """Points from near to far without the query itself, ``(n_rows, n - 1)``."""
        return self.nearest(rows, 0)[0]

    def nearest(self, rows: np.ndarray, n_nearest: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the points from near to far, and the distances of the first ones, ``(n_rows, n_nearest)``.

        The distances have lost the bits that number the points: a relative error below 1e-9 for a million points.
        """
        keys = euclidean(self._points[rows], self._points).view(np.int64)
        keys &= ~self._mask
        keys |= self._ties
        keys[np.arange(len(rows)), rows] = -1  # before every distance
        keys.sort(axis=1)
        distances = (keys[:, 1 : n_nearest + 1] & ~self._mask).view(np.float64)
        keys &= self._mask
        return self._point_of[keys[:, 1:]], distances


def ranks(order: np.ndarray) -> np.ndarray:
    """Rank of each point from 1 on, ``(n_rows, n)``; the query itself has 0."""
    n_rows, n_others = order.shape
    found = np.zeros((n_rows, n_others + 1), dtype=np.int32)
    np.put_along_axis(found, order, np.arange(1, n_others + 1, dtype=np.int32)[None, :], axis=1)
    return found
