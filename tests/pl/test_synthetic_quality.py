import numpy as np
import pandas as pd
import pytest
from cells import make_cells

import scgauge


def scored(scaled, groups=("",)):
    """Synthetic cells with a given result: the figure shows what is stored and computes nothing."""
    statistics = ["rmse", "KS", "p-value"]
    rows = [
        {"group": group, "family": "genes" if index == 0 else "joint", "property": f"property {index}",
         "statistic": statistic, "value": value, "se": 0.05, "floor": 0.0, "floor_se": 0.01, "ceiling": 1.0,
         "ceiling_se": 0.01, "scaled": value, "yardstick": "independent"}
        for group in groups
        for index, (statistic, value) in enumerate(zip(statistics, [*scaled, np.nan], strict=True))
    ]  # fmt: skip
    overall = pd.DataFrame({"group": [""], "family": ["all"], "scaled": [float(np.mean(scaled))]})
    adata = make_cells()
    adata.uns["synthetic_quality"] = {"params": {}, "scores": pd.DataFrame(rows), "overall": overall}
    return adata


def dots(panel, marker="o"):
    lines = [line for line in panel.lines if line.get_marker() == marker]
    return [(x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_a_dot_for_each_statistic():
    panel = scgauge.pl.synthetic_quality(scored([0.2, 0.9]), show=False)
    assert dots(panel) == [(0.2, 0.0), (0.9, 1.0)]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["property 0, rmse", "property 1, KS"]
    assert panel.get_title(loc="left") == "mean:   all 0.55"


def test_a_row_without_a_score_says_why():
    panel = scgauge.pl.synthetic_quality(scored([0.2, np.nan]), show=False)
    said = [(text.get_text(), text.get_position()[1]) for text in panel.texts if "alike" in text.get_text()]
    assert said == [("real cells and copy score alike", 1)]
    both = scgauge.pl.synthetic_quality({"A": scored([0.2, np.nan]), "B": scored([0.2, 0.3])}, show=False)
    assert not any("alike" in text.get_text() for text in both.texts)


def test_what_lies_beyond_is_a_triangle_at_the_end():
    panel = scgauge.pl.synthetic_quality(scored([-2.0, 5.0]), show=False)
    assert dots(panel) == []
    ((right, row),) = dots(panel, ">")
    assert (right > 1.5, row) == (True, 1.0)
    ((left, row),) = dots(panel, "<")
    assert (left < -0.2, row) == (True, 0.0)


def test_several_sets_have_a_colour_each_and_a_legend():
    panel = scgauge.pl.synthetic_quality({"A": scored([0.1, 0.2]), "B": scored([0.8, 0.9])}, show=False)
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["A", "B"]
    assert sorted(x for x, _ in dots(panel)) == [0.1, 0.2, 0.8, 0.9]
    colors = {line.get_color() for line in panel.lines if line.get_marker() == "o"}
    assert len(colors) == 2


def test_groups():
    adata = scored([0.1, 0.2], groups=("", "B/cell"))
    assert len(dots(scgauge.pl.synthetic_quality(adata, group="B/cell", show=False))) == 2
    with pytest.raises(ValueError, match=r"group='T'; found \['B/cell'\]"):
        scgauge.pl.synthetic_quality(adata, group="T")


def test_bad_input():
    with pytest.raises(TypeError, match="AnnData"):
        scgauge.pl.synthetic_quality([1])
    with pytest.raises(ValueError, match="empty"):
        scgauge.pl.synthetic_quality({})
    with pytest.raises(KeyError, match=r"adata\['A'\].uns"):
        scgauge.pl.synthetic_quality({"A": make_cells()})
