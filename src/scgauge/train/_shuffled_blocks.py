"""Orders of cells on disk that are both shuffled and fast to read."""

from __future__ import annotations

import numpy as np


def shuffle_blocks(rows: np.ndarray, block_size: int, rng: np.random.Generator) -> np.ndarray:
    """Put the blocks of neighbouring rows into random order; rows of a block stay together.

    Parameters
    ----------
    rows
        Row numbers of the cells, in any order, ``(n_cells,)``.
    block_size
        Rows of the file that make a block.
    rng
        Source of randomness.

    Returns
    -------
    The same row numbers in another order.
    """
    ordered = np.sort(rows)
    starts = np.flatnonzero(np.diff(ordered // block_size, prepend=-1))
    lengths = np.diff(starts, append=len(ordered))
    order = rng.permutation(len(starts))
    lengths = lengths[order]
    # Position of each cell: the start of its block, and its place in the block.
    ends = np.cumsum(lengths)
    return ordered[np.repeat(starts[order] - (ends - lengths), lengths) + np.arange(len(ordered))]


def shuffle_within(rows: np.ndarray, buffer_size: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the rows of each buffer of so many cells; buffers keep their order.

    Parameters
    ----------
    rows
        Row numbers, ``(n_cells,)``.
    buffer_size
        Cells of a buffer; the last may have fewer.
    rng
        Source of randomness.
    """
    parts = [rng.permutation(rows[start : start + buffer_size]) for start in range(0, len(rows), buffer_size)]
    return np.concatenate([*parts, rows[:0]])
