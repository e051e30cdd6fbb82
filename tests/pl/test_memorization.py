import numpy as np
import pytest
from anndata import AnnData

import scgauge


@pytest.fixture(scope="module")
def copies():
    adata = scgauge.datasets.simulate_counts(200, 30, rng=0)
    train, holdout = adata[:100].copy(), adata[100:].copy()
    cells = AnnData(train.X[:50], var=train.var)
    scgauge.tl.memorization(train, cells, holdout=holdout, n_bootstrap=5, rng=0)
    return cells


def test_curves_and_dots_are_the_stored_numbers(copies):
    left, right = scgauge.pl.memorization(copies, show=False)
    stored = copies.uns["memorization"]
    table = stored["distances"]
    for line, name in zip(left.lines, ("holdout", "synthetic"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.sort(table.loc[table["cells"] == name, "to_train"]))
        assert line.get_ydata()[-1] == 1
    scores = stored["scores"].set_index("statistic")
    shown = ["train_share", "dcr_share", "authenticity", "nnaa_train", "duplicates"]
    expected, values = right.lines
    np.testing.assert_array_equal(expected.get_xdata(), scores.loc[shown, "expected"])
    np.testing.assert_array_equal(values.get_xdata(), scores.loc[shown, "value"])
    assert right.get_title() == "copies of training cells"


def test_no_result():
    with pytest.raises(KeyError, match="Run: scgauge.tl.memorization"):
        scgauge.pl.memorization(scgauge.datasets.simulate_counts(20, 10, rng=0))
