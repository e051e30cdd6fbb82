from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, false_discovery_control, hypergeom

from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import as_groups, label_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class LabelShift:
    """How the proportions of labels differ between two samples; see :func:`label_shift`.

    Attributes
    ----------
    total_variation
        Half the sum of absolute differences of the proportions, from 0 to 1.
    chance
        Mean total variation of samples of these sizes when labels do not depend on the sample.
    statistic
        Pearson's chi-squared.
    pvalue
        Monte-Carlo p-value of the chi-squared.
    labels
        One row for each label: ``label``, ``n_x``, ``n_y``, ``share_x``, ``share_y``, ``difference`` (second less
        first), ``pvalue`` (exact, two-sided) and ``padj`` (Benjamini and Hochberg).
    """

    total_variation: float
    chance: float
    statistic: float
    pvalue: float
    labels: pd.DataFrame

    __repr__ = short_repr


def pair_of_labels(x_labels: ArrayLike, y_labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encode the labels of two samples together; codes of both and the names."""
    parts = []
    for name, labels in (("x_labels", x_labels), ("y_labels", y_labels)):
        shape = label_shape(labels)
        if len(shape) != 1 or shape == (0,):
            message = f"`{name}` needs one label for each point, and at least one; found the shape {shape}."
            raise ValueError(message)
        # As objects: an array of text would turn a missing value into the text "nan".
        parts.append(pd.Series(list(labels), dtype=object))  # type: ignore[arg-type]
    pooled = pd.concat(parts, ignore_index=True)
    codes, names = as_groups(pooled, len(pooled), name="x_labels and y_labels")
    return codes[: len(parts[0])], codes[len(parts[0]) :], names


def _exact(n_x: int, n_y: int, size_x: int, size_y: int) -> float:
    """Two-sided Fisher p-value: the tables that are no more probable than the one seen."""
    law = hypergeom(size_x + size_y, n_x + n_y, size_x)
    support = np.arange(max(0, n_x + n_y - size_y), min(size_x, n_x + n_y) + 1)
    mass = law.pmf(support)
    return float(min(1.0, mass[mass <= mass[support == n_x] * (1 + 1e-7)].sum()))


def label_shift(x_labels: ArrayLike, y_labels: ArrayLike, *, n_permutations: int = 999, rng: RNG = None) -> LabelShift:
    r"""Test whether two samples have the same proportions of labels (prior shift).

    The null distribution is that of labels dealt to the samples at random, drawn from the multivariate hypergeometric
    law, so that rare labels need no approximation. Total variation is never 0 by chance; compare it with ``chance``.

    Parameters
    ----------
    x_labels
        Label of each point of the first sample, ``(n,)``.
    y_labels
        Label of each point of the second sample, ``(m,)``.
    n_permutations
        Number of draws from the null distribution.
    rng
        Seed or Generator of the draws.

    Returns
    -------
    Frozen dataclass: ``total_variation``, ``chance``, ``statistic``, ``pvalue``, ``labels``.

    Raises
    ------
    ValueError
        If a sample is empty, a label is missing, there is one label only or ``n_permutations`` is less than 1.

    Examples
    --------
    >>> import scgauge
    >>> result = scgauge.metrics.label_shift(["B"] * 60 + ["T"] * 40, ["B"] * 20 + ["T"] * 80, rng=0)
    >>> result.total_variation, result.pvalue
    (0.4, 0.001)
    """
    first, second, names = pair_of_labels(x_labels, y_labels)
    if len(names) < 2:
        message = f"All points have the label {names[0]!r}; two labels are needed."
        raise ValueError(message)
    if n_permutations < 1:
        message = f"n_permutations={n_permutations} was given; at least 1 is needed."
        raise ValueError(message)
    size_x, size_y = len(first), len(second)
    counts_x, counts_y = (np.bincount(part, minlength=len(names)) for part in (first, second))
    total = counts_x + counts_y
    drawn = generator(rng).multivariate_hypergeometric(total, size_x, size=n_permutations, method="marginals")
    expected = total * size_x / (size_x + size_y)
    # With the margins fixed, chi-squared is this quadratic form of the first row.
    weights = (size_x + size_y) ** 2 / (total * size_x * size_y)
    observed, null = ((rows - expected) ** 2 @ weights for rows in (counts_x, drawn))
    distance = 0.5 * np.abs(drawn / size_x - (total - drawn) / size_y).sum(axis=1)
    exact = [_exact(int(a), int(b), size_x, size_y) for a, b in zip(counts_x, counts_y, strict=True)]
    shares = counts_x / size_x, counts_y / size_y
    table = pd.DataFrame(
        {
            "label": names.astype(str),
            "n_x": counts_x,
            "n_y": counts_y,
            "share_x": shares[0],
            "share_y": shares[1],
            "difference": shares[1] - shares[0],
            "pvalue": exact,
            "padj": false_discovery_control(exact),
        }
    )
    return LabelShift(
        total_variation=float(0.5 * np.abs(shares[1] - shares[0]).sum()),
        chance=float(distance.mean()),
        statistic=float(chi2_contingency(np.stack([counts_x, counts_y]), correction=False).statistic),
        pvalue=float((1 + (null >= observed * (1 - 1e-10)).sum()) / (1 + n_permutations)),
        labels=table,
    )
