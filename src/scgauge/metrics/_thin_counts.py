from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scgauge._core.rng import RNG, generator
from scgauge.metrics._points import LARGEST_TOTAL, Points, as_points

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix


def thin_counts(x: Points, *, fraction: float = 0.2, rng: RNG = None) -> tuple[Matrix, Matrix]:
    r"""Divide counts at random into two parts, molecule by molecule.

    Every molecule goes to the second part with probability :math:`\varepsilon`. Given the rate :math:`\lambda` of an
    entry with Poisson counts, the parts are independent, with the rates :math:`(1-\varepsilon)\lambda` and
    :math:`\varepsilon\lambda`: what is learnt from the first can be scored on the second, cell by cell
    :cite:p:`Batson19`. With an overdispersed :math:`\lambda` this holds given :math:`\lambda`.

    Parameters
    ----------
    x
        Counts, ``(n, p)``, dense or sparse.
    fraction
        :math:`\varepsilon`, the share of the molecules for the second part, between 0 and 1.
    rng
        Seed or Generator.

    Returns
    -------
    First and second part, sparse if ``x`` is, in its dtype; they sum to ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not numeric.
    ValueError
        If ``x`` is not 2-D or holds something else than counts, or ``fraction`` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> first, second = scgauge.metrics.thin_counts(np.array([[100, 0]]), fraction=0.2, rng=0)
    >>> (first + second).tolist(), second.tolist()
    ([[100, 0]], [[21, 0]])
    """
    points = as_points(x)
    if not 0 < fraction < 1:
        message = f"fraction={fraction} was given; a number between 0 and 1 is needed."
        raise ValueError(message)
    values = points.data if sparse.issparse(points) else points
    if (values < 0).any() or (values != np.rint(values)).any():
        message = "`x` needs counts: integers from 0 upward. Pass raw counts, or recover them with pp.recover_counts."
        raise ValueError(message)
    if values.size and values.max() > LARGEST_TOTAL:
        message = f"`x` has the count {values.max():g}; counts up to 2^53 are exact."
        raise ValueError(message)
    drawn = generator(rng).binomial(np.asarray(values, dtype=np.int64), fraction).astype(values.dtype)
    if not sparse.issparse(points):
        return points - drawn, drawn
    parts = []
    for data in (values - drawn, drawn):
        part = sparse.csr_matrix((data, points.indices.copy(), points.indptr.copy()), shape=points.shape)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]
