import numpy as np
import pytest
from cells import make_cells

import scgauge


def pair():
    real, synthetic = make_cells(seed=0), make_cells(seed=1)
    scgauge.pp.binarize(real, threshold="quantile")
    scgauge.pp.binarize(synthetic, threshold=real.var["binary_threshold"])
    return real, synthetic


def test_writes_what_the_metric_returns():
    real, _ = pair()
    scgauge.tl.log_odds_ratio(real, correction="max")
    expected = scgauge.metrics.log_odds_ratio(real.layers["binary"], correction="max")
    np.testing.assert_array_equal(real.varp["log_odds"], expected.log_odds)
    np.testing.assert_array_equal(real.varp["log_odds_se"], expected.se)
    assert real.uns["log_odds"]["params"] == {"layer": "binary", "correction": "max", "n_obs": 120}


def test_pairs_are_named_and_matched_by_gene():
    real, synthetic = pair()
    table = scgauge.tl.compare_log_odds(real, synthetic)
    shuffled = synthetic[:, ::-1].copy()
    other = scgauge.tl.compare_log_odds(real, shuffled)
    assert table.equals(other)
    row = table.iloc[0]
    scgauge.tl.log_odds_ratio(synthetic)
    i, j = synthetic.var_names.get_indexer([row["gene_1"], row["gene_2"]])
    assert row["synthetic"] == synthetic.varp["log_odds"][i, j]
    assert len(table) == 20 * 19 / 2
    assert set(table.attrs) == {"bias", "rmse", "pearson", "slope"}
    assert table.attrs["rmse"] == pytest.approx(np.sqrt((table["difference"] ** 2).mean()))


def test_counts_are_refused_with_advice():
    with pytest.raises(ValueError, match=r"Run: scgauge.pp.binarize\(adata\)"):
        scgauge.tl.log_odds_ratio(make_cells(), layer=None)
    with pytest.raises(KeyError, match="layer 'binary'"):
        scgauge.tl.log_odds_ratio(make_cells())
