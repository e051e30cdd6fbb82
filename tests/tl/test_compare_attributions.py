import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from cells import fit, make_cells
from scipy import stats

import scgauge
from scgauge.model import CountVI, LinearVI

COMPARED = "compare_attributions"


def table(seed, n_genes=60, n_columns=3):
    rng = np.random.default_rng(seed)
    names = [f"gene_{i}" for i in range(n_genes)]
    return pd.DataFrame(rng.normal(size=(n_genes, n_columns)), index=names)


def empty(n_genes=60):
    adata = AnnData(np.ones((2, n_genes), dtype=np.float32))
    adata.var_names = [f"gene_{i}" for i in range(n_genes)]
    return adata


def compare(sources, adata=None, **arguments):
    adata = empty() if adata is None else adata
    return scgauge.tl.compare_attributions(adata, sources=sources, copy=True, **arguments).uns[COMPARED]


def value(pairs, first, second, statistic, n_top=0):
    rows = pairs.query("first == @first and second == @second and statistic == @statistic and n_top == @n_top")
    assert len(rows) == 1
    return rows.iloc[0]


def test_statistics_equal_their_definitions():
    one, other = table(0), table(1)
    pairs = compare({"one": one, "other": other}, n_top=[10, 100])["pairs"]
    importance = [(t.abs() / t.abs().max()).max(axis=1) for t in (one, other)]
    expected = stats.spearmanr(*importance).statistic
    np.testing.assert_allclose(value(pairs, "one", "other", "rank_correlation")["value"], expected)
    top = [set(v.sort_values().index[-10:]) for v in importance]
    row = value(pairs, "one", "other", "overlap", 10)
    assert row["value"] == len(top[0] & top[1]) / 10
    assert row["chance"] == 10 / 60
    assert 100 not in set(pairs["n_top"])  # more than there are genes
    assert "one" not in pairs.loc[pairs["second"] == "one", "first"].tolist()  # a single run agrees with nobody


def test_columns_are_matched_whatever_their_order_and_sign():
    one = table(0)
    mixed = -one[[2, 0, 1]].set_axis(["a", "b", "c"], axis=1)
    pairs = compare({"one": one, "mixed": mixed})["pairs"]
    for statistic in ("rank_correlation", "matched_correlation"):
        np.testing.assert_allclose(value(pairs, "one", "mixed", statistic)["value"], 1)


def test_runs_of_a_method_are_compared_with_each_other():
    runs = [table(seed) for seed in range(3)]
    pairs = compare({"runs": runs, "one": table(9)})["pairs"]
    inside = value(pairs, "runs", "runs", "overlap", 10)
    single = [
        value(compare({"a": runs[i], "b": runs[j]})["pairs"], "a", "b", "overlap", 10)["value"]
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert inside["n_pairs"] == 3
    np.testing.assert_allclose([inside["value"], inside["sd"]], [np.mean(single), np.std(single, ddof=1)])
    assert value(pairs, "runs", "one", "overlap", 10)["n_pairs"] == 3


def test_random_scores_agree_as_chance_says():
    overlaps = []
    for seed in range(40):
        pairs = compare({"a": table(seed), "b": table(1000 + seed)}, n_top=[20])["pairs"]
        overlaps.append(value(pairs, "a", "b", "overlap", 20)["value"])
    # Hypergeometric: mean 1/3, sd of one overlap 0.087.
    assert abs(np.mean(overlaps) - 20 / 60) < 5 * stats.hypergeom(60, 20, 20).std() / 20 / np.sqrt(40)


def test_ranks_of_chosen_genes():
    scores = pd.DataFrame({"a": [1.0, 5, 3], "b": [9.0, 1, 8]}, index=["gene_0", "gene_1", "gene_2"])
    pattern = pd.DataFrame({"step": [1, 2], "gene": ["gene_2", "gene_0"], "latent": ["Z_0", "Z_1"]})
    ranks = compare({"scores": scores, "pattern": pattern}, empty(3), genes=["gene_2", "gene_1"])["ranks"]
    assert ranks[["method", "gene", "column"]].to_numpy().tolist() == [
        ["scores", "gene_2", "a"],
        ["scores", "gene_1", "a"],
        ["pattern", "gene_2", "pattern"],
        ["pattern", "gene_1", ""],
    ]
    np.testing.assert_array_equal(ranks["best_rank"], [2, 1, 1, np.nan])
    # Importances: gene_0 1.0 in b, gene_1 1.0 in a, gene_2 8/9.
    np.testing.assert_array_equal(ranks["rank"], [3, 2, 1, np.nan])


def ranked_genes(adata):
    """Genes ranked by t statistics in the form of :func:`scanpy.tl.rank_genes_groups`."""
    values = np.log1p(adata.X.toarray())
    groups = sorted(adata.obs["type"].unique())
    parts = [stats.ttest_ind(values[adata.obs["type"] == g], values[adata.obs["type"] != g]).statistic for g in groups]
    orders = [np.argsort(-part) for part in parts]
    names = list(zip(*(adata.var_names[order] for order in orders), strict=True))
    scores = list(zip(*(part[order] for part, order in zip(parts, orders, strict=True)), strict=True))
    fields = {"names": names, "scores": scores, "logfoldchanges": scores, "pvals": scores, "pvals_adj": scores}
    kinds = {"names": "O"}
    made = {
        key: np.rec.array(np.array(v, dtype=[(g, kinds.get(key, "f4")) for g in groups])) for key, v in fields.items()
    }
    return made | {"params": {"groupby": "type", "reference": "rest", "method": "t-test", "layer": None}}


def test_all_methods_of_the_package():
    adata = make_cells()
    vae, ldvae = fit(CountVI, adata.copy(), epochs=15), fit(LinearVI, adata.copy(), setup={})
    scgauge.tl.attribute(adata, vae, rng=0, progress=False)
    scgauge.tl.loadings(adata, ldvae)
    pattern = scgauge.tl.log_linear_patterns(vae, n_genes=3, n_samples=500, alpha=None, rng=0, progress=False)
    adata.uns["rank_genes_groups"] = ranked_genes(adata)
    sources = {"IG": "ig", "LDVAE": "loadings", "pattern": pattern, "markers": "rank_genes_groups"}
    result = compare(sources, adata, n_top=[3, 10])
    assert set(result["ranks"]["method"]) == set(sources)
    assert value(result["pairs"], "IG", "pattern", "overlap", 3)["n_pairs"] == 1
    assert not len(result["pairs"].query("second == 'pattern' and n_top == 10"))
    expected = adata.uns["ig"]["randomised"]["spearman"]
    assert result["shuffled"]["spearman"].tolist() == expected.tolist()
    best = result["ranks"].query("method == 'markers' and best_rank == 1")
    for row in best.itertuples():
        ranked = adata.uns["rank_genes_groups"]
        assert ranked["names"][row.column][np.abs(ranked["scores"][row.column]).argmax()] == row.gene
    assert len(best) > 0


@pytest.mark.parametrize(
    ("sources", "arguments", "error", "match"),
    [
        ({"a": "no", "b": table(0)}, {}, KeyError, "Did not find 'no'"),
        ({"a": 3, "b": table(0)}, {}, TypeError, "source 'a' is int"),
        ({"a": table(0)}, {}, ValueError, "holds 1 runs"),
        ({"a": table(0), "b": table(0).set_axis([f"x{i}" for i in range(60)])}, {}, KeyError, "no gene of `adata`"),
        ({"a": table(0), "b": table(0) * np.inf}, {}, ValueError, "needs finite scores"),
        ({"a": table(0), "b": table(1)}, {"n_top": [0]}, ValueError, r"n_top=\[0\]"),
        ({"a": table(0), "b": table(1)}, {"genes": ["no"]}, KeyError, "no gene 'no'"),
    ],
)
def test_bad_input_changes_nothing(sources, arguments, error, match):
    adata = empty()
    with pytest.raises(error, match=match):
        scgauge.tl.compare_attributions(adata, sources=sources, **arguments)
    assert not adata.uns
