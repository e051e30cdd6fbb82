import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scgauge


@pytest.fixture
def path():
    obs = {"output": [0.0, 1.0, 3.0], "distance": [0.0, 0.5, 2.0], "predicted": ["a", "a", "b"]}
    path = AnnData(np.ones((3, 4), dtype=np.float32), obs=pd.DataFrame(obs, index=list("xyz")))
    path.var_names = ["g1", "g2", "g3", "g4"]
    path.var["change_in_sd"] = [0.1, -2.0, 0.5, 0.0]
    path.uns["dream"] = {"target": "Z_3", "output_mean": 1.0, "output_sd": 0.25}
    return path


def test_panels_show_path_and_genes(path):
    left, right = scgauge.pl.dream(path, n_genes=2, show=False)
    line = next(line for line in left.lines if len(line.get_xdata()) == 3)
    np.testing.assert_array_equal(line.get_ydata(), [0, 1, 3])
    assert [text.get_text() for text in left.texts] == ["a", "b"]
    assert left.get_ylabel() == "Z_3"
    assert [text.get_text() for text in right.get_yticklabels()] == ["g2", "g3"]
    assert [bar.get_width() for bar in right.patches] == [-2.0, 0.5]


def test_bad_input():
    with pytest.raises(TypeError, match="Run: path = scgauge.tl.dream"):
        scgauge.pl.dream(AnnData(np.ones((2, 2))), show=False)
