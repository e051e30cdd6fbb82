import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scgauge


def sets(n=300, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for number in (n, 2 * n):
        adata = AnnData(sparse.csr_matrix(rng.poisson(2.0, (number, 5)).astype(np.float32)))
        adata.var_names = list("abcde")
        adata.obs["type"] = rng.choice(["x/y", "z", "w"], number)
        made.append(adata)
    return made


def test_labels_are_those_of_most_real_cells_with_the_pattern():
    real, synthetic = sets()
    scgauge.tl.annotate_by_pattern(real, synthetic[:, ::-1].copy(), genes=["d", "a"], labels_key="type")
    scgauge.tl.annotate_by_pattern(real, synthetic, genes=["d", "a"], labels_key="type")
    cut = np.quantile(real[:, ["d", "a"]].X.toarray(), 0.5, axis=0)
    of_real, of_synthetic = (adata[:, ["d", "a"]].X.toarray() > cut for adata in (real, synthetic))
    for cell, pattern in enumerate(of_synthetic[:50]):
        same = (of_real == pattern).all(1)
        label = real.obs["type"][same].value_counts()
        assert synthetic.obs["pattern_label"].iloc[cell] == label.index[0]
        assert synthetic.obs["pattern"].iloc[cell] == "".join("01"[int(v)] for v in pattern)
    table = synthetic.uns["pattern"]["patterns"].set_index("pattern")
    assert table["n_real"].sum() == real.n_obs
    assert table["n_synthetic"].sum() == synthetic.n_obs


def test_unmatched_and_tied_patterns_have_no_label():
    real = AnnData(np.array([[5, 0], [5, 0], [0, 5], [0, 5.0]], dtype=np.float32))
    real.obs["type"] = ["a", "b", "a", "a"]
    synthetic = AnnData(np.array([[9, 9], [9, 0], [0, 9], [0, 0]], dtype=np.float32))
    scgauge.tl.annotate_by_pattern(real, synthetic, genes=["0", "1"], labels_key="type")
    assert synthetic.obs["pattern_label"].isna().tolist() == [True, True, False, True]
    assert synthetic.uns["pattern"]["unmatched"] == 0.75
    table = synthetic.uns["pattern"]["patterns"].set_index("pattern")
    assert table.loc["11", "n_real"] == 0
    assert table["label"].to_dict() == {"00": "", "01": "a", "10": "", "11": ""}


def test_labels_need_their_share():
    real, synthetic = sets()
    scgauge.tl.annotate_by_pattern(real, synthetic, genes=pd.DataFrame({"gene": ["a", "b"]}), labels_key="type")
    shares = synthetic.uns["pattern"]["patterns"].set_index("pattern")["share"]
    limit = float(shares.median())
    found = scgauge.tl.annotate_by_pattern(
        real, synthetic, genes=["a", "b"], labels_key="type", min_share=limit, copy=True
    )
    expected = synthetic.obs["pattern"].map(shares).astype(float) < limit
    assert found.obs["pattern_label"].isna().tolist() == expected.tolist()
    assert expected.any()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"genes": ["no"]}, KeyError, "genes \\['no'\\]"),
        ({"genes": []}, ValueError, "`genes` is empty"),
        ({"labels_key": "no"}, KeyError, "labels_key='no'"),
        ({"quantile": 1.0}, ValueError, r"quantile=1\.0"),
        ({"min_share": 2}, ValueError, "min_share=2"),
    ],
)
def test_bad_input_changes_nothing(arguments, error, match):
    real, synthetic = sets(50)
    with pytest.raises(error, match=match):
        scgauge.tl.annotate_by_pattern(real, synthetic, **{"genes": ["a"], "labels_key": "type"} | arguments)
    assert list(synthetic.obs) == ["type"]
