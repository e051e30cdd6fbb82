from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgauge.metrics._distances import iter_distances
from scgauge.metrics._neighbors import nearest
from scgauge.metrics._points import Points, as_points

#: A point this share inside of the radius or less lies on the sphere: distances of tied points differ by rounding.
_ON_SPHERE = 1e-9


@dataclass(frozen=True)
class DensityCoverage:
    """Fidelity and diversity of one sample against another; see :func:`density_coverage`.

    Attributes
    ----------
    precision
        Share of points of `y` within the neighbourhood of some point of `x`.
    recall
        Share of points of `x` within the neighbourhood of some point of `y`.
    density
        Mean number of neighbourhoods of `x` that hold a point of `y`, over ``n_neighbors``; 1 in expectation for equal
        distributions, above where `y` is concentrated.
    coverage
        Share of points of `x` with a point of `y` in their neighbourhood.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class NeighborMixing:
    r"""How well two samples mix among nearest neighbours; see :func:`neighbor_mixing`.

    Attributes
    ----------
    same
        Mean share of the neighbours of a point that are of its own sample.
    expected
        Its expectation for equal distributions.
    mixing
        :math:`(1 - \text{same}) / (1 - \text{expected})`: 1 for equal distributions, 0 for separate samples.
    """

    same: float
    expected: float
    mixing: float


def _pair(x: Points, y: Points, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_points(x, name="x"), as_points(y, name="y")
    if first.shape[1] != second.shape[1]:
        message = (
            f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both samples need the same variables."
        )
        raise ValueError(message)
    smallest = min(first.shape[0], second.shape[0])
    if not 1 <= n_neighbors < smallest:
        message = f"n_neighbors={n_neighbors} needs to be from 1 to {smallest - 1}, the smaller sample less one."
        raise ValueError(message)
    dense = (np.asarray(part.toarray() if hasattr(part, "toarray") else part, dtype=float) for part in (first, second))
    return tuple(dense)  # type: ignore[return-value]


def density_coverage(x: Points, y: Points, *, n_neighbors: int = 5, block_rows: int | None = None) -> DensityCoverage:
    """Precision, recall, density and coverage of a sample against a reference.

    The neighbourhood of a point is the open ball up to its ``n_neighbors``-th nearest neighbour in its own sample.
    Density and coverage :cite:p:`Naeem20` hold against outliers, which precision and recall :cite:p:`Kynkaanniemi19` do
    not. All of them depend on the sizes of the samples: compare values of equal sizes. Distances are computed in
    blocks.

    Parameters
    ----------
    x
        Reference, ``(n, p)``: real cells.
    y
        Sample, ``(m, p)``: synthetic cells.
    n_neighbors
        Neighbours that span a neighbourhood.
    block_rows
        Rows of a block; from the number of columns if ``None``.

    Returns
    -------
    Frozen dataclass: ``precision``, ``recall``, ``density``, ``coverage``.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or not finite; if the numbers of columns differ; if ``n_neighbors`` is not from
        1 to the size of the smaller sample less one.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.arange(10.0)[:, None]
    >>> scgauge.metrics.density_coverage(x, x[:5] + 0.5, n_neighbors=2)
    DensityCoverage(precision=1.0, recall=0.7, density=1.1, coverage=0.6)
    """
    real, fake = _pair(x, y, n_neighbors)
    real_radius, fake_radius = (
        nearest(sample, n_neighbors=n_neighbors)[0][:, -1] * (1 - _ON_SPHERE) for sample in (real, fake)
    )
    held = np.zeros(len(fake))
    closest, recalled = np.full(len(real), np.inf), np.zeros(len(real), dtype=bool)
    for rows, columns, block in iter_distances(real, fake, block_rows=block_rows):
        held[columns] += (block < real_radius[rows, None]).sum(axis=0)
        closest[rows] = np.minimum(closest[rows], block.min(axis=1))
        recalled[rows] |= (block < fake_radius[None, columns]).any(axis=1)
    return DensityCoverage(
        precision=float((held > 0).mean()),
        recall=float(recalled.mean()),
        density=float(held.mean() / n_neighbors),
        coverage=float((closest < real_radius).mean()),
    )


def neighbor_mixing(x: Points, y: Points, *, n_neighbors: int = 15) -> NeighborMixing:
    r"""Share of nearest neighbours from a point's own sample, against what equal distributions give.

    The statistic of :cite:t:`Schilling86` over the pooled points, without its test. With :math:`N = n + m` the expected
    share is :math:`\frac{n(n-1) + m(m-1)}{N(N-1)}`.

    Parameters
    ----------
    x
        First sample, ``(n, p)``.
    y
        Second sample, ``(m, p)``.
    n_neighbors
        Number of neighbours of each point among all others.

    Returns
    -------
    Frozen dataclass: ``same``, ``expected``, ``mixing``.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or not finite; if the numbers of columns differ; if ``n_neighbors`` is not from
        1 to the size of the smaller sample less one.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.arange(10.0)[:, None]
    >>> scgauge.metrics.neighbor_mixing(x, x + 100, n_neighbors=3).mixing
    0.0
    """
    first, second = _pair(x, y, n_neighbors)
    n, m = len(first), len(second)
    own = np.r_[np.zeros(n, dtype=bool), np.ones(m, dtype=bool)]
    _, found = nearest(np.concatenate([first, second]), n_neighbors=n_neighbors)
    same = float((own[found] == own[:, None]).mean())
    expected = (n * (n - 1) + m * (m - 1)) / ((n + m) * (n + m - 1))
    return NeighborMixing(same=same, expected=expected, mixing=(1 - same) / (1 - expected))
