from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.stats import beta

from scgauge._core.matrix import iter_rows
from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import Points, as_dense, as_points

#: Bytes of the correlations with permuted targets that are kept at once.
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class SpuriousCorrelation:
    """Correlations with a target, and the largest ones of permuted targets; see :func:`spurious_correlation`.

    Attributes
    ----------
    r
        Pearson correlation of each variable with the target, ``(p,)``; NaN for variables that do not vary.
    pvalue
        Share of permuted targets whose *largest* absolute correlation reaches that of the variable: adjusted for the
        search over all variables, ``(p,)``.
    null
        Largest absolute correlation with each permuted target, ``(n_permutations,)``.
    largest
        Largest absolute correlation seen.
    expected
        Median of the largest absolute correlation of as many independent normal variables.
    n, p
        Number of points, and of variables that vary.
    """

    r: np.ndarray
    pvalue: np.ndarray
    null: np.ndarray
    largest: float
    expected: float
    n: int
    p: int

    __repr__ = short_repr


def largest_by_chance(n: int | np.ndarray, p: int, quantile: float = 0.5) -> np.ndarray:
    r"""Quantile of the largest absolute correlation of `p` independent normal variables with a target of `n` points.

    :math:`r^2` of one of them is :math:`\mathrm{Beta}(1/2, (n-2)/2)`.
    """
    return np.sqrt(beta.ppf(quantile ** (1 / p), 0.5, (np.asarray(n) - 2) / 2))


def spurious_correlation(
    x: Points, target: np.ndarray, *, n_permutations: int = 199, rng: RNG = None
) -> SpuriousCorrelation:
    r"""Compare the correlations of many variables with a target to the largest that chance gives.

    Among :math:`p` independent variables some always correlate with any target. The largest absolute correlation is
    about :math:`\sqrt{1 - p^{-2/(n-2)}}`: with 20 points and 20,000 variables, 0.82. Real variables depend on each
    other, which makes it smaller: permuting the target keeps their dependence and gives the null distribution of the
    largest :cite:p:`Westfall93`. It assumes that the points are exchangeable: cells of a few donors are not.

    Parameters
    ----------
    x
        Variables, ``(n, p)``, dense or sparse; never made dense.
    target
        One number for each point, ``(n,)``.
    n_permutations
        Number of permutations of the target.
    rng
        Seed or Generator.

    Returns
    -------
    Frozen dataclass: ``r``, ``pvalue``, ``null``, ``largest``, ``expected``, ``n``, ``p``.

    Raises
    ------
    TypeError
        If ``x`` is not numeric.
    ValueError
        If shapes do not fit, there are fewer than four points, the target is not finite or does not vary, no variable
        varies, or ``n_permutations`` is less than 1.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> draw = np.random.default_rng(0)
    >>> x, target = draw.normal(size=(20, 2000)), draw.normal(size=20)
    >>> result = scgauge.metrics.spurious_correlation(x, target, rng=0)
    >>> round(result.largest, 2), round(result.expected, 2), round(float(np.median(result.null)), 2)
    (0.75, 0.72, 0.72)
    """
    points = as_points(x)
    values = as_dense(target, name="target")
    n = points.shape[0]
    if values.shape != (n,) or n < 4 or not np.isfinite(values).all() or np.ptp(values) == 0:
        message = (
            f"`target` needs one finite number for each of the {n} points, not all equal, and at least four points; "
            f"found the shape {values.shape}."
        )
        raise ValueError(message)
    if n_permutations < 1:
        message = f"n_permutations={n_permutations} was given; at least 1 is needed."
        raise ValueError(message)
    own = generator(rng)
    standard = (values - values.mean()) / values.std()
    targets = np.column_stack([standard, *(own.permutation(standard) for _ in range(n_permutations))])
    mean, deviation = _moments(points)
    varies = deviation > 1e-12 * np.maximum(1, np.abs(mean))
    if not varies.any():
        message = "No variable varies over the points; nothing can be correlated."
        raise ValueError(message)
    columns = points.tocsc() if sparse.issparse(points) else points
    r, null = np.full(points.shape[1], np.nan), np.zeros(n_permutations)
    size = max(1, _BLOCK_BYTES // (8 * targets.shape[1]))
    for start in range(0, points.shape[1], size):
        block = np.arange(start, min(start + size, points.shape[1]))
        block = block[varies[block]]
        # The targets are centred, so that the means of the variables drop out.
        part = np.asarray(columns[:, block].T @ targets) / (n * deviation[block, None])
        r[block] = part[:, 0].clip(-1, 1)
        null = np.maximum(null, np.abs(part[:, 1:]).max(axis=0, initial=0))
    reached = np.sort(null)
    beyond = n_permutations - np.searchsorted(reached, np.abs(r) * (1 - 1e-10), side="left")
    n_varying = int(varies.sum())
    return SpuriousCorrelation(
        r=r,
        pvalue=np.where(varies, (1 + beyond) / (1 + n_permutations), np.nan),
        null=null,
        largest=float(np.nanmax(np.abs(r))),
        expected=float(largest_by_chance(n, n_varying)),
        n=n,
        p=n_varying,
    )


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (divisor n) of every column in two passes, block by block."""
    n = points.shape[0]
    total = np.zeros(points.shape[1])
    for _, block in iter_rows(points):
        total += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    mean = total / n
    squares = np.zeros(points.shape[1])
    for _, block in iter_rows(points):
        if sparse.issparse(block):
            shifted = block.astype(np.float64)
            shifted.data = (shifted.data - mean[shifted.indices]) ** 2
            n_stored = np.bincount(shifted.indices, minlength=len(mean))
            squares += np.asarray(shifted.sum(axis=0)).ravel() + (block.shape[0] - n_stored) * mean**2
        else:
            squares += ((block - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / n)
