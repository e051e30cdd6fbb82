"""Log-likelihood of sparse counts and its gradient, cell by cell in one loop, compiled by numba.

What `scgauge.nn._count_log_likelihood` writes as a dozen operations of torch, each of which reads and writes cells x
genes, is done here while a cell is in the nearest cache. All in one file, since numba does not see when what a function
calls has changed in another.

Exponential and logarithm are written out: called from the C library they would stop a loop from being vectorised. Their
polynomials are those of Cephes (S. L. Moshier, `expf` and `logf`), to within two units in the last place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

f32, i32 = np.float32, np.int32

#: Largest finite number.
LARGEST = f32(np.finfo(f32).max)
#: Counts up to here are read from a table, which costs more the larger it is.
_TABLED = 8
_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)


def _compile(*liberties: str, **others: Any) -> Any:
    """Return what compiles a function with liberties in its arithmetic, and keeps it on disk where there is a place."""

    def decorate(function: Any) -> Any:
        options = {"fastmath": {"contract", "arcp", *liberties}, "error_model": "numpy", "nogil": True, **others}
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # how numba says that it may write nowhere
            return njit(**options)(function)

    return decorate


# Of the functions of a number no other liberties: a number and its rounding error must be summed as written.
# A loop with a call is not vectorised.
_inlined = _compile(forceinline=True)
# Sums over genes may be taken in any order, or no loop that sums is vectorised.
_compiled = _compile("reassoc")


def _conversion(result: Any, argument: Any, instruction: str) -> Any:
    """Make a function of one number that is one instruction of the processor."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return getattr(builder, instruction)(values[0], context.get_value_type(result))

    @intrinsic
    def convert(_typing: Any, _x: Any) -> Any:
        return result(argument), generate

    return convert


def _selection(comparison: str) -> Any:
    """Make the smaller or larger of two numbers: without a branch, which would stop a loop from being vectorised."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(builder.fcmp_ordered(comparison, *values), *values)

    @intrinsic
    def select(_typing: Any, _x: Any, _y: Any) -> Any:
        return types.float32(types.float32, types.float32), generate

    return select


@intrinsic
def _in_wide_vectors(_typing: Any) -> Any:
    """Let the function that calls this use the widest vectors of the processor.

    LLVM keeps to half of them, lest the processor slow down for other code; matrix products, between which these
    loops run, use them anyway.
    """

    def generate(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        # The class of the attributes knows no names with values.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


_smaller, _larger = _selection("<"), _selection(">")
_bits = _conversion(types.int32, types.float32, "bitcast")
_from_bits = _conversion(types.float32, types.int32, "bitcast")
_truncate = _conversion(types.int32, types.float32, "fptosi")
_to_float = _conversion(types.float32, types.int32, "sitofp")


@_inlined
def _exp(x: Any) -> Any:
    """Exponential; arguments beyond -80 and 88.3 count as these: numbers below 1e-38 cost a hundred times more."""
    x = _smaller(_larger(x, f32(-80)), f32(88.3))
    # Rounded down from a number that is never negative.
    n = _truncate(x * f32(1.44269504088896341) + f32(128.5)) - i32(128)
    k = _to_float(n)
    # Less n times the logarithm of 2, in two parts of which the first is exact.
    r = (x - k * f32(0.693359375)) + k * f32(2.12194440e-4)
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    return (p * r * r + r + f32(1)) * _from_bits((n + i32(127)) << i32(23))


@_inlined
def _log1p(x: Any) -> Any:
    """Logarithm of 1 + x for finite x above -1."""
    u = x + f32(1)
    bits = _bits(u)
    # u = (1 + m) 2^e with 1 + m between the roots of 1/2 and of 2.
    e = (bits - i32(0x3F3504F3)) >> i32(23)
    m = _from_bits(bits - (e << i32(23))) - f32(1)
    k = _to_float(e)
    p = f32(7.0376836292e-2)
    p = p * m - f32(1.1514610310e-1)
    p = p * m + f32(1.1676998740e-1)
    p = p * m - f32(1.2420140846e-1)
    p = p * m + f32(1.4249322787e-1)
    p = p * m - f32(1.6668057665e-1)
    p = p * m + f32(2.0000714765e-1)
    p = p * m - f32(2.4999993993e-1)
    p = p * m + f32(3.3333331174e-1)
    square = m * m
    y = p * m * square - k * f32(2.12194440e-4) - f32(0.5) * square
    # The last term makes up for the rounding of 1 + x.
    return m + y + k * f32(0.693359375) + (x - (u - f32(1))) / u


@_inlined
def _softplus(x: Any) -> Any:
    """Logarithm of 1 + exp(x)."""
    return _larger(x, f32(0)) + _log1p(_exp(_smaller(x, -x)))


@_inlined
def _softplus_difference(x: Any, y: Any) -> Any:
    """Logarithm of (1 + exp(x)) / (1 + exp(y)), to the rounding of 1."""
    e = _exp(_smaller(y, -y))
    larger = _larger(x, f32(0)) - _larger(y, f32(0))
    return larger + _log1p((_exp(_smaller(x, -x)) - e) / (e + f32(1)))


@_inlined
def _sigmoid(x: Any) -> Any:
    """Logistic function."""
    odds = _exp(x)
    return odds / (odds + f32(1))


@_compiled
def _sum(values: Any) -> Any:
    total = 0.0
    for g in range(len(values)):  # over places: over values it would not be vectorised
        total += np.float64(values[g])
    return total


@_compiled
def _has_nan(values: Any) -> Any:
    n = 0
    for g in range(len(values)):
        n += values[g] != values[g]
    return n > 0


@_compiled
def _largest(values: Any, halves: Any) -> Any:
    """Largest entry, by folding the row in halves: a maximum of floats taken one by one is not vectorised."""
    n = len(values)
    for g in range(n):
        halves[g] = values[g]
    while n > 1:
        rest = (n + 1) // 2
        for g in range(n - rest):
            halves[g] = _larger(halves[g], halves[g + rest])
        n = rest
    return halves[0]


@_compiled
def _shares_of_row(logits: Any, normalise: Any, shares: Any) -> Any:
    """Write the shares of a cell, and return the log of what they were divided by."""
    _in_wide_vectors()
    largest, log_norm = f32(0), 0.0
    if normalise:
        largest = _largest(logits, shares)
    for g in range(len(logits)):
        shares[g] = _exp(logits[g] - largest)
    if normalise:
        total = _sum(shares)
        scale = f32(1 / total)
        for g in range(len(logits)):
            shares[g] *= scale
        log_norm = largest + np.log(total)
    return log_norm


@_compiled
def _ratios(shares: Any, exposure: Any, inverse_theta: Any, ratio: Any) -> None:
    """Write mean / theta of each gene of a cell."""
    for g in range(len(shares)):
        ratio[g] = _smaller(shares[g] * exposure * inverse_theta[g], LARGEST)


@_inlined
def _stirling(x: Any) -> Any:
    """Return what log gamma is above its leading terms, exact to 1e-11 for `x` from 8."""
    square = x * x
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / x


@_inlined
def _slope_of_stirling(x: Any) -> Any:
    square = x * x
    return -(1 / 12 - (1 / 120 - (1 / 252 - 1 / (240 * square)) / square) / square) / square


@_inlined
def _log_factorial(x: Any) -> Any:
    return (x + 0.5) * np.log(x) - x + _HALF_LOG_TAU + _stirling(x)


@_compiled
def rising_factorials(columns: Any, counts: Any, log_theta: Any, theta: Any, logs: Any, slopes: Any) -> None:
    """Write what `scgauge.nn._rising_factorial` says of each non-zero count: log less log factorial, and slope.

    Small counts are read from a table of counts x genes, whose rows are sums of few terms. Large ones go on from its
    last row by Stirling's series, which needs no case for a small or a large theta there.
    """
    _in_wide_vectors()
    n_genes = len(theta)
    log_table, slope_table = np.empty((_TABLED, n_genes), f32), np.empty((_TABLED, n_genes), f32)
    for g in range(n_genes):
        log_table[0, g] = log_theta[g]
        slope_table[0, g] = f32(1)
    for k in range(1, _TABLED):
        step = f32(k)
        for g in range(n_genes):
            log_table[k, g] = log_table[k - 1, g] + _log1p((theta[g] - f32(1)) / (step + f32(1)))
            slope_table[k, g] = slope_table[k - 1, g] + theta[g] / (theta[g] + step)
    last = _TABLED - 1
    last_log_factorial = _log_factorial(float(_TABLED))
    for j in range(len(counts)):
        g, x = columns[j], float(counts[j])
        if x <= _TABLED:
            k = int(x) - 1
            logs[j], slopes[j] = log_table[k, g], slope_table[k, g]
        else:
            low, more = float(theta[g]) + _TABLED, x - _TABLED
            high, growth = low + more, np.log1p(more / low)
            rising = (high - 0.5) * growth + more * (np.log(low) - 1) + (_stirling(high) - _stirling(low))
            logs[j] = log_table[last, g] + (rising - (_log_factorial(x) - last_log_factorial))
            slope = growth + 0.5 * more / (low * high) + (_slope_of_stirling(high) - _slope_of_stirling(low))
            slopes[j] = slope_table[last, g] + theta[g] * slope


@_compiled
def _slopes_of_row(zeros: Any, theta: Any, zi_logits: Any, entries: Any, drawn: Any, slopes: Any) -> None:
    """Write the derivatives of the log-likelihood of a cell by its log means, structural zeros and the dispersion.

    `zeros` are ratio of mean to theta, its log1p and the log odds of a zero that was drawn; `entries` columns, counts
    and slopes of the rising factorials of this cell; `drawn` is 1, or is overwritten with structural zeros.
    """
    _in_wide_vectors()
    ratio, log1p_ratio, odds = zeros
    columns, counts, rising_slopes = entries
    by_mean, by_zi_logits, by_dispersion = slopes
    if len(zi_logits) > 0:
        for g in range(len(theta)):
            drawn[g] = _sigmoid(odds[g])
        for j in range(len(columns)):
            drawn[columns[j]] = f32(1)
        for g in range(len(theta)):
            by_zi_logits[g] = _sigmoid(-zi_logits[g]) - drawn[g]
    for g in range(len(theta)):
        logistic = ratio[g] / (ratio[g] + f32(1))
        by_mean[g] = -theta[g] * logistic * drawn[g]
        by_dispersion[g] = theta[g] * (logistic - log1p_ratio[g]) * drawn[g]
    for j in range(len(columns)):
        g = columns[j]
        left = counts[j] / (ratio[g] + f32(1))
        by_mean[g] += left
        by_dispersion[g] += rising_slopes[j] - left


@_compiled
def _value_of_row(logits: Any, zi_logits: Any, odds: Any, log_theta: Any, shift: Any, entries: Any, terms: Any) -> Any:
    """Log-likelihood of a cell from the logs (log odds, if there are structural ones) of its zeros.

    `shift` makes of logits logs of means; `entries` are columns, counts and logs of the rising factorials of this cell.
    """
    _in_wide_vectors()
    columns, counts, rising = entries
    n = len(columns)
    inflated = len(zi_logits) > 0
    if inflated:
        for g in range(len(odds)):
            terms[g] = _softplus_difference(odds[g], -zi_logits[g])
        total = _sum(terms)
    else:
        total = _sum(odds)
    for j in range(n):
        g = columns[j]
        terms[j] = log_theta[g] - shift - logits[g]
    for j in range(n):
        terms[j] = rising[j] - counts[j] * _softplus(terms[j])
    total += _sum(terms[:n])
    if inflated:
        for j in range(n):
            terms[j] = -odds[columns[j]]
        for j in range(n):
            terms[j] = _softplus(terms[j])
        total -= _sum(terms[:n])
    return total


@_compiled
def log_likelihood_rows(
    block: Any, cells: Any, dispersion: Any, entries: Any, log_likelihood: Any, slopes: Any
) -> None:
    """Write log-likelihoods of the cells of a block, from its first to before its last, and their derivatives.

    `cells` are logits, log exposure, logits of structural zeros (empty without) and whether to normalise;
    `dispersion` the logs, themselves and their inverses; `entries` offsets of cells, columns, counts, and logs and
    slopes of the rising factorials at the non-zero ones; `slopes` take the derivatives of each cell's own
    log-likelihood by its logits, exposure, logits of structural zeros and the dispersion (all empty: not wanted).
    They are taken while all that they need is in the nearest cache, and cost less than reading it once more.
    """
    _in_wide_vectors()
    first, last = block
    logits, log_exposure, zi_logits, normalise = cells
    offsets, columns, counts, rising, rising_slopes = entries
    by_logits, by_exposure, by_zi_logits, by_dispersion = slopes
    log_theta, theta, inverse_theta = dispersion
    n_genes = logits.shape[1]
    inflated, wanted = len(zi_logits) > 0, len(by_logits) > 0
    shares, ratio, log1p_ratio = np.empty(n_genes, f32), np.empty(n_genes, f32), np.empty(n_genes, f32)
    row, terms, drawn = np.empty(n_genes, f32), np.empty(n_genes, f32), np.ones(n_genes, f32)
    for i in range(first, last):
        log_norm = _shares_of_row(logits[i], normalise, shares)
        _ratios(shares, np.exp(log_exposure[i]), inverse_theta, ratio)
        for g in range(n_genes):
            log1p_ratio[g] = _log1p(ratio[g])
        for g in range(n_genes):
            # Log probability of a zero.
            row[g] = -theta[g] * log1p_ratio[g]
        if inflated:
            for g in range(n_genes):
                # Log odds of a zero that was drawn against one that is structural.
                row[g] -= zi_logits[i, g]
        # Comparisons with what is not a number come out either way.
        broken = _has_nan(row) or _has_nan(logits[i]) or np.isnan(log_exposure[i])
        shift = f32(log_exposure[i] - log_norm)
        own = slice(offsets[i], offsets[i + 1])
        total = _value_of_row(
            logits[i],
            zi_logits[i] if inflated else row[:0],
            row,
            log_theta,
            shift,
            (columns[own], counts[own], rising[own]),
            terms,
        )
        log_likelihood[i] = np.nan if broken else total
        if not wanted:
            continue
        _slopes_of_row(
            (ratio, log1p_ratio, row),
            theta,
            zi_logits[i] if inflated else row[:0],
            (columns[own], counts[own], rising_slopes[own]),
            drawn,
            (by_logits[i], by_zi_logits[i] if inflated else row[:0], by_dispersion[i]),
        )
        by_exposure[i] = f32(_sum(by_logits[i]))
        if normalise:
            for g in range(n_genes):
                by_logits[i, g] -= shares[g] * by_exposure[i]
