"""Neighbours that several configurations of the same points have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.metrics._rank_blocks import Ranking, row_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence


def shared_neighbors(
    configurations: Sequence[np.ndarray], rows: np.ndarray, n_neighbors: int, ties: np.ndarray
) -> np.ndarray:
    """Share of the nearest neighbours that each pair of configurations has in common.

    Parameters
    ----------
    configurations
        The same points in several spaces, ``(n, p)`` each.
    rows
        Points whose neighbours are compared, among all points.
    n_neighbors
        Number of neighbours.
    ties
        Permutation of the points: their order at equal distances, the same in all spaces.

    Returns
    -------
    Shares of each row, ``(n_rows, n_configurations, n_configurations)``.
    """
    n, n_spaces = len(configurations[0]), len(configurations)
    rankings = [Ranking(points, ties) for points in configurations]
    shares = np.ones((len(rows), n_spaces, n_spaces))
    for block in row_blocks(rows, n):
        near = [ranking.order(rows[block])[:, :n_neighbors] for ranking in rankings]
        for one in range(n_spaces):
            is_near = np.zeros((len(near[one]), n), dtype=bool)
            np.put_along_axis(is_near, near[one], values=True, axis=1)
            for other in range(one + 1, n_spaces):
                share = np.take_along_axis(is_near, near[other], axis=1).mean(axis=1)
                shares[block, one, other] = shares[block, other, one] = share
    return shares
