import pandas as pd
import pytest

import scgauge


def table():
    columns = {"step": [1, 2, 3], "gene": ["Pvalb", "Sst", "Vip"], "latent": ["Z_1", "Z_0", "Z_1"]}
    return pd.DataFrame(columns | {"g2": [989.4, 671.8, 443.0], "cmi": [0.18, 0.12, 0.08]})


def test_bars_follow_the_table():
    panel = scgauge.pl.patterns(table(), show=False)
    assert [text.get_text() for text in panel.get_yticklabels()] == ["Pvalb", "Sst", "Vip"]
    widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in panel.patches}
    assert widths == {0: 0.18, 1: 0.12, 2: 0.08}
    assert [text.get_text() for text in panel.texts] == ["989", "672", "443"]
    colors = {round(bar.get_y() + bar.get_height() / 2): bar.get_facecolor() for bar in panel.patches}
    assert colors[0] == colors[2] != colors[1]


def test_bad_input():
    with pytest.raises(TypeError, match="Run: scgauge.tl.log_linear_patterns"):
        scgauge.pl.patterns(pd.DataFrame(), show=False)
    with pytest.raises(ValueError, match="no row"):
        scgauge.pl.patterns(table().iloc[:0], show=False)
