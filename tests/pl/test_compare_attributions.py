import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scgauge


@pytest.fixture
def compared():
    adata = AnnData(np.ones((2, 30), dtype=np.float32))
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame(rng.normal(size=(30, 2)), index=adata.var_names) for _ in range(3)]
    sources = {"IG": tables[:2], "loadings": tables[2]}
    scgauge.tl.compare_attributions(adata, sources=sources, n_top=[5, 10], genes=["3", "7"])
    return adata


def test_squares_are_the_table(compared):
    left, right = scgauge.pl.compare_attributions(compared, statistic="overlap", n_top=10, show=False)
    pairs = compared.uns["compare_attributions"]["pairs"].query("statistic == 'overlap' and n_top == 10")
    inside, between = (pairs.query("second == @name")["value"].item() for name in ("IG", "loadings"))
    np.testing.assert_allclose(left.images[0].get_array().filled(-1), [[inside, between], [between, -1]])
    ranks = compared.uns["compare_attributions"]["ranks"]
    assert [text.get_text() for text in right.get_yticklabels()] == ["3", "7"]
    np.testing.assert_array_equal(right.images[0].get_array().T.ravel(), ranks["best_rank"])


def test_bad_input(compared):
    with pytest.raises(ValueError, match="n_top=7"):
        scgauge.pl.compare_attributions(compared, n_top=7, show=False)
    with pytest.raises(KeyError, match="Run: scgauge.tl.compare_attributions"):
        scgauge.pl.compare_attributions(compared[:, :2].copy(), key="no", show=False)
