"""Tests of what differs between two sets of cells, as rows of one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scgauge.metrics import (
    classifier_two_sample,
    conditional_shift,
    excess_loss,
    label_shift,
    two_sample_test,
)
from scgauge.metrics._conditional_shift import energy_coefficient

#: Fewest cells of a label in each set for the tests within labels, and folds of the classifiers.
MIN_CELLS, N_FOLDS = 10, 5
#: Overlap of the sets below which labels of the same cells cannot be compared: there are none.
MIN_OVERLAP = 0.05


def _row(question: str, statistic: str, value: float, pvalue: float, **more: Any) -> dict[str, Any]:
    nothing = {"label": "", "chance": np.nan, "padj": np.nan}
    return {"question": question, "statistic": statistic, "value": value, "pvalue": pvalue, **nothing, **more}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["question", "label", "statistic", "value", "chance", "pvalue", "padj", "effect", "effect_size"]
    return pd.DataFrame(rows)[[*columns, "n_x", "n_y"]]


def expression(
    x: np.ndarray, y: np.ndarray, n_permutations: int, rngs: list[np.random.Generator], *, progress: bool
) -> pd.DataFrame:
    """Test P(x): energy and a classifier of the sets."""
    energy = two_sample_test(x, y, n_permutations=n_permutations, rng=rngs[0], progress=progress)
    domain = classifier_two_sample(x, y, n_folds=N_FOLDS, rng=rngs[1])
    sizes = {"n_x": len(x), "n_y": len(y)}
    rows = [
        _row("P(x)", "energy", energy.statistic, energy.pvalue, chance=float(energy.null.mean()),
             effect=energy_coefficient(x, y), effect_size="energy coefficient", **sizes),
        _row("P(x)", "classifier AUC", domain.auc, domain.pvalue, chance=0.5,
             effect=2 * domain.auc - 1, effect_size="2 AUC - 1", **sizes),
    ]  # fmt: skip
    return _table(rows)


def proportions(
    x_labels: np.ndarray, y_labels: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Test P(y), over all labels and of each."""
    result = label_shift(x_labels, y_labels, n_permutations=n_permutations, rng=rng)
    name, size = "total variation", "difference of shares"
    rows = [
        _row("P(y)", name, result.total_variation, result.pvalue, chance=result.chance, effect=result.total_variation,
             effect_size=name, n_x=len(x_labels), n_y=len(y_labels))
    ]  # fmt: skip
    for label in result.labels.itertuples():
        rows.append(
            _row("P(y)", size, label.difference, label.pvalue, label=label.label, chance=0.0, padj=label.padj,
                 effect=label.difference, effect_size=size, n_x=label.n_x, n_y=label.n_y)
        )  # fmt: skip
    return _table(rows)


def within_labels(
    x: np.ndarray,
    y: np.ndarray,
    labels: tuple[np.ndarray, np.ndarray],
    n_permutations: int,
    rng: np.random.Generator,
    *,
    progress: bool,
) -> pd.DataFrame:
    """Test P(x|y), over all labels and of each."""
    size, sizes = "energy coefficient", {"n_x": len(x), "n_y": len(y)}
    both = [label for label in np.unique(labels[0]) if min((part == label).sum() for part in labels) >= MIN_CELLS]
    if not both:
        return _table(
            [_row("P(x|y)", "energy within labels", np.nan, np.nan, effect=np.nan, effect_size=size, **sizes)]
        )
    result = conditional_shift(
        x, y, x_labels=labels[0], y_labels=labels[1], n_permutations=n_permutations, min_points=MIN_CELLS, rng=rng,
        progress=progress,
    )  # fmt: skip
    rows = [
        _row("P(x|y)", "energy within labels", result.statistic, result.pvalue, effect=result.effect, effect_size=size,
             **sizes)
    ]  # fmt: skip
    for label in result.labels.itertuples():
        rows.append(
            _row("P(x|y)", "energy", label.statistic, label.pvalue, label=label.label, padj=label.padj,
                 effect=label.effect, effect_size=size, n_x=label.n_x, n_y=label.n_y)
        )  # fmt: skip
    return _table(rows)


def labels_given_expression(
    x: np.ndarray, y: np.ndarray, labels: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> pd.DataFrame:
    """Test P(y|x): excess loss over the labels that the first set has in every fold."""
    names, counts = np.unique(labels[0], return_counts=True)
    known = names[counts >= MIN_CELLS]
    keep_x, keep_y = (np.isin(part, known) for part in labels)
    question, name = "P(y|x)", "excess quadratic loss"
    sizes = {"n_x": int(keep_x.sum()), "n_y": int(keep_y.sum())}
    if len(known) < 2 or sizes["n_y"] < 2 * N_FOLDS:
        return _table([_row(question, name, np.nan, np.nan, chance=0.0, effect=np.nan, effect_size=name, **sizes)])
    result = excess_loss(
        x[keep_x], y[keep_y], x_labels=labels[0][keep_x], y_labels=labels[1][keep_y], n_folds=N_FOLDS, rng=rng
    )
    share = result.effective_size / sizes["n_x"]
    pvalue = result.pvalue if result.overlap >= MIN_OVERLAP else np.nan
    rows = [
        _row(question, name, result.excess, pvalue, chance=0.0, effect=result.excess, effect_size=name, **sizes),
        _row(question, "loss in x", result.loss_x, np.nan, effect=np.nan, effect_size="", **sizes),
        _row(question, "loss in x, weighted", result.weighted_loss_x, np.nan, effect=np.nan, effect_size="", **sizes),
        _row(question, "loss in y", result.loss_y, np.nan, effect=np.nan, effect_size="", **sizes),
        _row(question, "overlap", result.overlap, np.nan, chance=1.0, effect=np.nan, effect_size="", **sizes),
        _row(question, "effective share of x", share, np.nan, chance=1.0, effect=np.nan, effect_size="", **sizes),
    ]
    return _table(rows)
