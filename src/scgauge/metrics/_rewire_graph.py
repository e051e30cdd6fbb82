from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.rng import RNG, generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def rewire_graph(edges: ArrayLike, *, swaps_per_edge: int = 10, rng: RNG = None) -> np.ndarray:
    r"""Return a random simple graph in which every node has as many neighbours as in a given one.

    Two edges :math:`a-b` and :math:`c-d` at a time become :math:`a-d` and :math:`c-b`, unless that made a loop or a
    double edge :cite:p:`Maslov02`.

    Parameters
    ----------
    edges
        Pairs of nodes, ``(n_edges, 2)`` integers; no loops, no pair twice in either order.
    swaps_per_edge
        Number of swaps that are tried, per edge.
    rng
        Seed or Generator.

    Returns
    -------
    Pairs of nodes, ``(n_edges, 2)``.

    Raises
    ------
    ValueError
        If edges are not pairs of integers, a loop or a double edge is among them, or ``swaps_per_edge`` is less than 1.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> edges = np.array([[0, 1], [2, 3], [4, 5], [0, 2]])
    >>> rewired = scgauge.metrics.rewire_graph(edges, rng=0)
    >>> np.bincount(rewired.ravel()).tolist()
    [2, 1, 2, 1, 1, 1]
    """
    pairs = np.array(edges)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu" or swaps_per_edge < 1:
        message = (
            f"`edges` needs integers of the shape (n_edges, 2) and swaps_per_edge={swaps_per_edge} at least 1; found "
            f"{pairs.dtype} of the shape {pairs.shape}."
        )
        raise ValueError(message)
    present = {(min(a, b), max(a, b)) for a, b in pairs.tolist()}
    if len(present) < len(pairs) or (pairs[:, 0] == pairs[:, 1]).any():
        message = "`edges` has loops or pairs that occur twice; leave them out."
        raise ValueError(message)
    own = generator(rng)
    n_tries = swaps_per_edge * len(pairs)
    chosen = own.integers(len(pairs), size=(n_tries, 2)).tolist()
    turned = own.random(n_tries) < 0.5
    current = pairs.tolist()
    for (first, second), turn in zip(chosen, turned, strict=True):
        (a, b), (c, d) = current[first], current[second]
        if turn:
            c, d = d, c
        one, other = (min(a, d), max(a, d)), (min(c, b), max(c, b))
        if first == second or a == d or c == b or one in present or other in present or one == other:
            continue
        present -= {(min(a, b), max(a, b)), (min(c, d), max(c, d))}
        present |= {one, other}
        current[first], current[second] = [a, d], [c, b]
    return np.array(current)
