import numpy as np
import pandas as pd
import pytest

import scgauge


def test_points_are_named_after_expressed_genes():
    table = pd.DataFrame({"pattern": ["10", "11", "00"], "share": [0.5, 0.3, 0.2], "n_cells": [5, 3, 2]})
    table[["x", "y"]] = [[0.1, 0.2], [-0.3, 0.0], [0.2, -0.2]]
    result = scgauge.tl.PatternMap(table, pd.DataFrame(np.zeros((3, 3))), ["Sst", "Vip"], 0.9)
    panel = scgauge.pl.pattern_map(result, show=False)
    assert [text.get_text() for text in panel.texts] == ["Sst", "Sst, Vip", "none"]
    np.testing.assert_allclose(panel.collections[0].get_offsets(), table[["x", "y"]])
    sizes = panel.collections[0].get_sizes()
    assert sizes[0] > sizes[1] > sizes[2]


def test_no_point_is_cut_off_and_distances_are_true():
    table = pd.DataFrame({"pattern": ["10", "11", "00"], "share": [0.5, 0.3, 0.2], "n_cells": [5, 3, 2]})
    table[["x", "y"]] = [[0.1, 0.02], [-0.3, 0.0], [0.2, -0.02]]
    result = scgauge.tl.PatternMap(table, pd.DataFrame(np.zeros((3, 3))), ["Sst", "Vip"], 0.9)
    panel = scgauge.pl.pattern_map(result, show=False)
    panel.figure.canvas.draw()
    box = panel.get_window_extent()
    places = panel.transData.transform(table[["x", "y"]].to_numpy())
    radii = np.sqrt(panel.collections[0].get_sizes() / np.pi) * panel.figure.dpi / 72
    assert (places - radii[:, None] > [box.x0, box.y0]).all()
    assert (places + radii[:, None] < [box.x1, box.y1]).all()
    (x0, x1), (y0, y1) = panel.get_xlim(), panel.get_ylim()
    np.testing.assert_allclose(box.width / (x1 - x0), box.height / (y1 - y0))


def test_bad_input():
    with pytest.raises(TypeError, match="result is DataFrame|Run: result"):
        scgauge.pl.pattern_map(pd.DataFrame(), show=False)
