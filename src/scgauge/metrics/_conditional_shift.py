from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._distances import distance_sum
from scgauge.metrics._energy import energy_distance
from scgauge.metrics._label_shift import pair_of_labels
from scgauge.metrics._points import Points, as_points
from scgauge.metrics._two_sample import two_sample_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scgauge.metrics._two_sample import TwoSampleResult


@dataclass(frozen=True)
class ConditionalShift:
    """Whether points of the same label differ between two samples; see :func:`conditional_shift`.

    Attributes
    ----------
    statistic
        Sum of the energy statistics of the labels.
    pvalue
        Permutation p-value, samples permuted within labels.
    effect
        Energy coefficient of the labels, averaged with their numbers of points as weights.
    labels
        One row for each label: ``label``, ``n_x``, ``n_y``, ``statistic``, ``effect``, ``pvalue`` and ``padj``
        (Benjamini and Hochberg); NaN for labels with too few points in a sample.
    """

    statistic: float
    pvalue: float
    effect: float
    labels: pd.DataFrame

    __repr__ = short_repr


def energy_coefficient(x: Points, y: Points) -> float:
    """Unbiased energy distance over twice the mean distance between the samples: 0 if equal, 1 if far apart."""
    first, second = as_points(x, name="x"), as_points(y, name="y")
    between = distance_sum(first, second) / (first.shape[0] * second.shape[0])
    return energy_distance(first, second, estimator="u") / (2 * between) if between > 0 else 0.0


def conditional_shift(
    x: Points,
    y: Points,
    *,
    x_labels: ArrayLike,
    y_labels: ArrayLike,
    n_permutations: int = 499,
    min_points: int = 10,
    rng: RNG = None,
    progress: bool = False,
) -> ConditionalShift:
    r"""Test whether points of the same label have the same distribution in two samples.

    The energy statistics of the labels :cite:p:`Szekely13` are added and compared with those of points whose sample is
    permuted within their label: other proportions of labels change nothing. The effect is the energy coefficient
    :math:`\mathcal{E} / 2\mathrm{E}|X-Y|` with the unbiased distance, 0 in expectation if there is no difference.

    Parameters
    ----------
    x
        First sample, ``(n, p)``.
    y
        Second sample, ``(m, p)``.
    x_labels
        Labels of the first sample, ``(n,)``.
    y_labels
        Labels of the second sample, ``(m,)``.
    n_permutations
        Number of permutations.
    min_points
        Fewest points that a label needs in each sample to be tested.
    rng
        Seed or Generator of the permutations.
    progress
        Whether to show a progress bar for tests that take longer than two seconds.

    Returns
    -------
    Frozen dataclass: ``statistic``, ``pvalue``, ``effect``, ``labels``.

    Raises
    ------
    TypeError
        If a sample is not numeric.
    ValueError
        If samples and labels do not fit together, or no label has enough points in both samples.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x, labels = np.random.default_rng(0).normal(size=(80, 2)), np.repeat(["B", "T"], 40)
    >>> y = x[::-1] + 2 * (labels == "T")[::-1, None]
    >>> result = scgauge.metrics.conditional_shift(x, y, x_labels=labels, y_labels=labels[::-1], rng=0)
    >>> result.pvalue, result.labels["effect"].round(1).tolist()
    (0.002, [-0.0, 0.5])
    """
    first, second = as_points(x, name="x"), as_points(y, name="y")
    codes_x, codes_y, names = pair_of_labels(x_labels, y_labels)
    for name, points, codes in (("x", first, codes_x), ("y", second, codes_y)):
        if points.shape[0] != len(codes):
            message = f"`{name}` has {points.shape[0]} rows and {len(codes)} labels; one label for each is needed."
            raise ValueError(message)
    if n_permutations < 1 or min_points < 2:
        message = f"n_permutations={n_permutations} and min_points={min_points} need to be at least 1 and 2."
        raise ValueError(message)
    own = generator(rng)
    rows, tests, effects, sizes = [], [], [], []
    for code, name in enumerate(names):
        parts = first[codes_x == code], second[codes_y == code]
        n_x, n_y = parts[0].shape[0], parts[1].shape[0]
        if min(n_x, n_y) < min_points:
            rows.append((str(name), n_x, n_y, np.nan, np.nan, np.nan))
            continue
        test: TwoSampleResult = two_sample_test(*parts, n_permutations=n_permutations, rng=own, progress=progress)
        tests.append(test)
        effects.append(energy_coefficient(*parts))
        sizes.append(n_x + n_y)
        rows.append((str(name), n_x, n_y, test.statistic, effects[-1], test.pvalue))
    if not tests:
        message = f"No label has {min_points} points in both samples; found {names.astype(str).tolist()[:5]}."
        raise ValueError(message)
    table = pd.DataFrame(rows, columns=["label", "n_x", "n_y", "statistic", "effect", "pvalue"])
    tested = table["pvalue"].notna()
    table["padj"] = np.nan
    table.loc[tested, "padj"] = false_discovery_control(table.loc[tested, "pvalue"])
    statistic, null = sum(test.statistic for test in tests), np.sum([test.null for test in tests], axis=0)
    pvalue = (1 + int((null >= statistic * (1 - 1e-10)).sum())) / (1 + n_permutations)
    return ConditionalShift(float(statistic), pvalue, float(np.average(effects, weights=sizes)), table)
