import numpy as np
import pandas as pd
import pytest

import scgauge


def table():
    rows = [
        (n, seed, family, prop, statistic, 20 / n + 0.1 * seed)
        for n in (20, 40, 80)
        for seed in (0, 1)
        for family, prop in (("genes", "mean"), ("genes", "variance"), ("joint", "energy"))
        for statistic in ("a", "b")
    ]
    return pd.DataFrame(rows, columns=["n_obs", "seed", "family", "property", "statistic", "scaled"])


def test_a_panel_for_each_family_and_a_line_for_each_property():
    genes, joint = scgauge.pl.learning_curve(table(), show=False)
    assert (genes.get_title(), joint.get_title()) == ("genes", "joint")
    labels = [text.get_text() for text in genes.get_legend().get_texts()]
    assert labels == ["mean", "variance"]
    line = next(line for line in joint.lines if line.get_label() == "energy")
    np.testing.assert_array_equal(line.get_xdata(), [20, 40, 80])
    np.testing.assert_allclose(line.get_ydata(), [1.05, 0.55, 0.3])
    assert genes.get_xscale() == "log"
    assert [text.get_text() for text in genes.get_xticklabels()] == ["20", "40", "80"]


def test_scores_beyond_the_axis_are_triangles():
    rows = [
        (20, 0, "joint", "energy", "a", 5.0),
        (40, 0, "joint", "energy", "a", 1.0),
        (80, 0, "joint", "energy", "a", -1.0),
    ]
    data = pd.DataFrame(rows, columns=table().columns)
    panel = scgauge.pl.learning_curve(data, show=False)
    up, down = ([line for line in panel.lines if line.get_marker() == marker] for marker in "^v")
    assert [line.get_xdata().tolist() for line in up] == [[20]]
    assert [line.get_xdata().tolist() for line in down] == [[80]]


def test_bad_input():
    with pytest.raises(TypeError, match="`table` is list"):
        scgauge.pl.learning_curve([1])
    with pytest.raises(ValueError, match=r"lacks the columns \['scaled'\]"):
        scgauge.pl.learning_curve(table().drop(columns="scaled"))
    with pytest.raises(ValueError, match="no scaled score"):
        scgauge.pl.learning_curve(table().assign(scaled=np.nan))
