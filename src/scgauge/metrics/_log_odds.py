from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse, stats

from scgauge._core.matrix import iter_rows
from scgauge._core.optional import later
from scgauge._core.stored_rows import is_stored
from scgauge.metrics._points import Points, as_binary, as_points

Correction = Literal["haldane", "max", "none"]

#: Share of ones above which dense products are faster than sparse ones.
_DENSE_ABOVE = 0.05


@dataclass(frozen=True)
class LogOdds:
    """Log odds ratios of all pairs of binary variables; see :func:`log_odds_ratio`.

    Attributes
    ----------
    log_odds
        Log odds ratios, ``(p, p)``; NaN on the diagonal.
    se
        Their standard errors, ``(p, p)``; NaN on the diagonal.
    n
        Number of observations.
    """

    log_odds: np.ndarray
    se: np.ndarray
    n: int


@dataclass(frozen=True)
class LogOddsAgreement:
    r"""How the log odds ratios of two samples compare over all pairs of variables; see :func:`compare_log_odds`.

    Attributes
    ----------
    bias
        Mean of second minus first.
    rmse
        Root mean squared difference.
    pearson
        Correlation over pairs.
    slope
        Slope of the regression of the second on the first: below 1 where associations are too weak.
    pairs
        One row for each pair of variables: positions ``first`` and ``second``, ``log_odds_x``, ``log_odds_y``,
        ``difference`` (second minus first), ``z``, ``pvalue`` and the adjusted ``q_bh``, ``q_by``; largest absolute
        difference first.
    """

    bias: float
    rmse: float
    pearson: float
    slope: float
    pairs: pd.DataFrame


def _both_on(x: Points) -> tuple[int, np.ndarray]:
    """Count the rows, and those in which both variables are 1, for all pairs, ``(p, p)``."""
    matrix = x if is_stored(x) else as_points(x)
    total = np.zeros((matrix.shape[1], matrix.shape[1]))
    for _, part in iter_rows(matrix):
        block = as_binary(part)
        if sparse.issparse(block) and block.nnz > _DENSE_ABOVE * block.shape[0] * block.shape[1]:
            block = block.toarray()
        ones = block.astype(np.float32)  # exact: the rows of a block are fewer than 2^24
        product = ones.T @ ones
        total += product.toarray() if sparse.issparse(product) else product
    return matrix.shape[0], total


def log_odds_ratio(x: Points, *, correction: Correction = "haldane") -> LogOdds:
    r"""Log odds ratio of every pair of binary variables, with standard errors.

    From the 2 x 2 table of a pair,

    .. math::

        \log \frac{n_{11} n_{00}}{n_{10} n_{01}}, \qquad
        \mathrm{SE} = \sqrt{\tfrac1{n_{11}} + \tfrac1{n_{10}} + \tfrac1{n_{01}} + \tfrac1{n_{00}}} .

    All tables come from one matrix product, sparse or in dense blocks.

    Parameters
    ----------
    x
        Observations of binary variables, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix of zeros and
        ones; or a matrix on disk or dask array, which is read block by block.
    correction
        ``"haldane"`` adds one half to every count, which removes most of the bias; ``"max"`` raises counts of 0 to one
        half and leaves the others :cite:p:`Nussberger21`; ``"none"`` leaves all: infinite or NaN where a count is 0.

    Returns
    -------
    Frozen dataclass: ``log_odds`` and ``se``, ``(p, p)`` each with NaN on the diagonal, and ``n``.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty, or holds something other than 0 and 1; if ``correction`` is unknown.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [10, 2, 12, 16], axis=0)
    >>> result = scgauge.metrics.log_odds_ratio(x, correction="none")
    >>> round(float(result.log_odds[0, 1]), 6), round(float(result.se[0, 1]), 6)
    (1.89712, 0.863616)
    """
    if correction not in get_args(Correction):
        message = f"correction={correction!r} is unknown; use one of {list(get_args(Correction))}."
        raise ValueError(message)
    n, n11 = _both_on(x)
    on = np.diag(n11)
    n10, n01 = on[:, None] - n11, on[None, :] - n11
    tables = [n11, n10, n01, n - n11 - n10 - n01]
    if correction == "haldane":
        tables = [table + 0.5 for table in tables]
    elif correction == "max":
        tables = [np.maximum(table, 0.5) for table in tables]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = np.log(tables[0]) + np.log(tables[3]) - np.log(tables[1]) - np.log(tables[2])
        se = np.sqrt(sum(1 / table for table in tables))
    for matrix in (log_odds, se):
        np.fill_diagonal(matrix, np.nan)
    return LogOdds(log_odds, se, n)


def compare_log_odds(x: Points, y: Points, *, correction: Literal["haldane", "max"] = "haldane") -> LogOddsAgreement:
    r"""Compare the log odds ratios of all pairs of variables between two samples.

    Each pair has :math:`z = (\lambda_y - \lambda_x) / \sqrt{\mathrm{SE}_x^2 + \mathrm{SE}_y^2}` and a two-sided normal
    p-value. Pairs that share a variable are dependent: the adjustment of Benjamini and Yekutieli holds under any
    dependence, that of Benjamini and Hochberg under the usual positive one. Read differences rather than p-values where
    one sample is synthetic, since its size is up to you.

    Parameters
    ----------
    x
        Reference sample of binary variables, ``(n, p)``.
    y
        Sample to compare with it, ``(m, p)``.
    correction
        As for :func:`log_odds_ratio`; finite values are needed.

    Returns
    -------
    Frozen dataclass: ``bias``, ``rmse``, ``pearson``, ``slope`` over pairs, and the table ``pairs``.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty, or holds something other than 0 and 1; if the numbers of columns differ or are
        less than 2; if ``correction`` is unknown or ``"none"``.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).random((500, 4)) < 0.4
    >>> y = x.copy()
    >>> y[:, 1] = y[:, 0]
    >>> worst = scgauge.metrics.compare_log_odds(x, y).pairs.iloc[0]
    >>> int(worst["first"]), int(worst["second"]), bool(worst["q_by"] < 0.05)
    (0, 1, True)
    """
    if correction not in {"haldane", "max"}:
        message = f"correction={correction!r} was given; comparisons need finite values: use 'haldane' or 'max'."
        raise ValueError(message)
    ours, theirs = log_odds_ratio(x, correction=correction), log_odds_ratio(y, correction=correction)
    p, q = len(ours.log_odds), len(theirs.log_odds)
    if p != q or p < 2:
        message = f"`x` has {p} columns and `y` has {q}; both need the same variables, at least two."
        raise ValueError(message)
    first, second = np.triu_indices(p, 1)
    a, b = ours.log_odds[first, second], theirs.log_odds[first, second]
    difference = b - a
    z = difference / np.hypot(ours.se[first, second], theirs.se[first, second])
    pvalue = 2 * stats.norm.sf(np.abs(z))
    adjust = later("statsmodels.stats.multitest").multipletests
    pairs = pd.DataFrame(
        {
            "first": first,
            "second": second,
            "log_odds_x": a,
            "log_odds_y": b,
            "difference": difference,
            "z": z,
            "pvalue": pvalue,
            "q_bh": adjust(pvalue, method="fdr_bh")[1],
            "q_by": adjust(pvalue, method="fdr_by")[1],
        }
    )
    order = np.argsort(-np.abs(difference), kind="stable")
    centred = a - a.mean()
    spread = float(centred @ centred)
    covariation = float(centred @ (b - b.mean()))
    norm = np.sqrt(spread * float(((b - b.mean()) ** 2).sum()))
    return LogOddsAgreement(
        bias=float(difference.mean()),
        rmse=float(np.sqrt((difference**2).mean())),
        pearson=covariation / norm if norm > 0 else float("nan"),
        slope=covariation / spread if spread > 0 else float("nan"),
        pairs=pairs.iloc[order].reset_index(drop=True),
    )
