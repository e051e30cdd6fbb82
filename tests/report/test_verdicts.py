"""Verdicts: on which side of a threshold each sentence stands."""

import numpy as np
import pandas as pd
import pytest

from scgauge.report import _verdicts

FALL = np.linspace(200, 100, 50)


def curve(*values):
    return pd.Series(values, dtype=float)


@pytest.mark.parametrize(
    ("history", "level", "words"),
    [
        pytest.param(None, "unknown", "was not recorded in training", id="no-curve"),
        pytest.param(curve(5.0), "unknown", "was not recorded in training", id="one-epoch"),
        pytest.param(curve(*FALL, *[100.0] * 50), "good", "converged", id="flat"),
        pytest.param(
            curve(*np.linspace(200, 100, 50), *np.linspace(100, 104, 50)), "caution", "rose by 3.7 %", id="up"
        ),
        pytest.param(curve(*np.linspace(200, 100, 101)), "caution", "still fell by 9.8 %", id="falling"),
    ],
)
def test_training(history, level, words):
    verdict = _verdicts.training(history)
    assert (verdict.level, words in verdict.sentence) == (level, True)


def families(**scores):
    return pd.Series({"genes": 0.0, "cells": 0.0, "pairs": 0.0, "joint": 0.0, "all": 0.9} | scores)


def test_synthetic_cells_are_judged_by_their_worst_family():
    low, high = _verdicts.SCOREBOARD
    assert _verdicts.synthetic(families(pairs=low)).level == "good"
    between = _verdicts.synthetic(families(pairs=(low + high) / 2))
    assert between.level == "caution"
    assert "pairs of genes" in between.sentence
    bad = _verdicts.synthetic(families(joint=high))
    assert bad.level == "bad"
    assert "Right are single genes, cell totals and pairs of genes." in bad.sentence


def test_synthetic_cells_without_any_score_are_not_judged():
    assert _verdicts.synthetic(families(genes=np.nan, cells=np.nan, pairs=np.nan, joint=np.nan)).level == "unknown"


def test_pictures_are_judged_by_the_worst_of_them():
    table = pd.DataFrame(
        {"trustworthiness": [0.99, 0.95], "continuity": [0.99, 0.85], "recall": [0.8, 0.2]},
        index=["X_pca", "X_umap"],
    )
    verdict = _verdicts.embedding(table, 15)
    assert verdict.level == "caution"
    assert "(umap) misplaces part of the cells: 3.0 of the 15 nearest neighbours" in verdict.sentence
    assert _verdicts.embedding(table.loc[["X_pca"]], 15).level == "good"
    assert _verdicts.embedding(table.assign(continuity=0.5), 15).level == "bad"


@pytest.mark.parametrize(
    ("values", "error", "level"),
    [
        ([0.1, -0.3], 0.001, "good"),
        ([0.7, 0.7], 0.001, "caution"),
        ([0.9, -0.95], 0.001, "bad"),
        ([0.1, 0.1], 0.2, "bad"),
        ([np.nan], 0.001, "unknown"),
    ],
)
def test_explanations(values, error, level):
    assert _verdicts.explanation(pd.Series(values), error).level == level


@pytest.mark.parametrize(
    ("followed", "level"), [([0.1, 0.2], "good"), ([0.1, 0.7], "caution"), ([0.1, 1.2], "bad"), ([], "unknown")]
)
def test_dynamics_are_judged_by_the_worst_time(followed, level):
    rows = [{"time": float(i), "followed": value, "no change": 1.0} for i, value in enumerate(followed)]
    assert _verdicts.dynamics(rows).level == level


def test_copies_are_called_so():
    assert _verdicts.memory(copies=True).level == "bad"
    assert _verdicts.memory(copies=False).level == "good"
