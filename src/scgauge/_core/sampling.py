"""Drawing cells so that every group, or every cell, keeps its share."""

from __future__ import annotations

import numpy as np


def apportion(sizes: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` places among groups in proportion to their sizes, at least one each.

    Largest remainders: every group gets its quota rounded down, the places left go to the largest remainders, ties to
    the first group.

    Parameters
    ----------
    sizes
        Number of cells of each group, ``(n_groups,)``, all positive.
    total
        Number of places, at least the number of groups.

    Returns
    -------
    Places of each group, ``(n_groups,)``, never more than its size; they sum to ``min(total, sizes.sum())``.

    Raises
    ------
    ValueError
        If there are fewer places than groups.
    """
    if total < len(sizes):
        message = f"{total} cells cannot represent {len(sizes)} groups; at least one cell for each group is needed."
        raise ValueError(message)
    total = min(total, int(sizes.sum()))
    quota = total * sizes / sizes.sum()
    places = np.maximum(np.floor(quota).astype(np.int64), 1)
    while places.sum() < total:
        places[np.argmax(quota - places)] += 1
    while places.sum() > total:  # small groups were raised to one: the best-served large groups pay
        places[np.argmax(np.where(places > 1, places - quota, -np.inf))] -= 1
    return places


def stratified_rows(codes: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement, each group in proportion to its size and at least one row of each.

    Parameters
    ----------
    codes
        Group of each row as an integer from 0, ``(n,)``; every group occurs.
    n_rows
        Number of rows to draw; all rows if there are no more than this.
    rng
        Source of randomness.

    Returns
    -------
    Sorted row numbers, ``(min(n, n_rows),)``.
    """
    if len(codes) <= n_rows:
        return np.arange(len(codes))
    places = apportion(np.bincount(codes), n_rows)
    drawn = [
        rng.choice(np.flatnonzero(codes == group), n_places, replace=False) for group, n_places in enumerate(places)
    ]
    return np.sort(np.concatenate(drawn))


def resample(weights: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows as often as their weights say, up to less than one: systematic resampling.

    With equal weights and as many draws as rows each row is drawn once.

    Parameters
    ----------
    weights
        Weight of each row, ``(n,)``, not negative.
    n_rows
        Number of rows to draw.
    rng
        Source of randomness.

    Returns
    -------
    Sorted row numbers, ``(n_rows,)``.
    """
    edges = np.cumsum(weights)
    places = (np.arange(n_rows) + rng.random()) / n_rows * edges[-1]
    return np.minimum(np.searchsorted(edges, places, side="right"), len(weights) - 1)
