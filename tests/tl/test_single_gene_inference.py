import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import scgauge
from scgauge.tl._ridge_scores import RidgeFold, auc

rewire_graph = scgauge.metrics.rewire_graph


def test_rewired_graphs_keep_degrees_and_stay_simple():
    rng = np.random.default_rng(0)
    pairs = np.unique(np.sort(rng.integers(40, size=(160, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    shared = []
    for seed in range(10):
        rewired = rewire_graph(pairs, rng=seed)
        np.testing.assert_array_equal(np.bincount(rewired.ravel()), np.bincount(pairs.ravel()))
        edges = {tuple(sorted(pair)) for pair in rewired.tolist()}
        assert len(edges) == len(pairs)
        assert all(a != b for a, b in edges)
        shared.append(len(edges & set(map(tuple, pairs.tolist()))) / len(pairs))
    # What is left of the graph is near its density: 140 of 780 pairs.
    assert np.mean(shared) < 0.35


def test_small_graphs_reach_every_arrangement():
    # Three separate edges among six nodes: 15 perfect matchings, all as probable.
    seen = [tuple(sorted(tuple(sorted(p)) for p in rewire_graph([[0, 1], [2, 3], [4, 5]], rng=s).tolist()))
            for s in range(600)]  # fmt: skip
    counts = pd.Series(seen).value_counts()
    assert len(counts) == 15
    assert counts.max() < 40 + 5 * np.sqrt(40)
    assert counts.min() > 40 - 5 * np.sqrt(40)


def data(seed=0, n=90, p=12):
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.5, (n, p)).astype(float)
    x[:, 1] = x[:, 0] + rng.poisson(0.4, n)
    x[:, 5] = 2.0
    return x


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_scores_are_those_of_scikit_learn(kind):
    x = data()
    target = (x[:, [0, 3]] > 1).astype(float)
    train, test = np.arange(60), np.arange(60, 90)
    fold = RidgeFold(kind(x[train]), kind(x[test]), target[train], ridge=0.5)
    scaler = StandardScaler().fit(x[train])
    everything = fold.from_all_others(np.array([0, 3]))
    for column, gene in enumerate((0, 3)):
        for variables, scores in (
            (np.array([1, 4, 7]), fold.from_some(np.array([1, 4, 7]), column)),
            (np.delete(np.arange(12), gene), everything[:, column]),
        ):
            z = scaler.transform(x)[:, variables]
            expected = Ridge(alpha=0.5 * 60).fit(z[train], target[train, column]).predict(z[test])
            np.testing.assert_allclose(scores - scores.mean(), expected - expected.mean(), atol=1e-10)
            area = auc(target[test, column], scores)
            np.testing.assert_allclose(area, roc_auc_score(target[test, column], expected))


def test_area_of_ties_and_of_one_class():
    assert auc(np.array([0, 1, 0, 1]), np.ones(4)) == 0.5
    assert np.isnan(auc(np.ones(3), np.arange(3)))


def modules(n=400, n_modules=8, size=6, seed=0):
    """Genes of a module rise and fall together."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(0, 0.8, (n, n_modules))).repeat(size, axis=1)
    adata = AnnData(sparse.csr_matrix(rng.poisson(3 * rate).astype("f4")))
    adata.var_names = [f"m{i // size}_{i % size}" for i in range(n_modules * size)]
    sets = {f"m{m}": [f"m{m}_{i}" for i in range(size)] for m in range(n_modules)}
    return adata, sets


def test_a_true_graph_is_better_than_random_ones_and_a_false_one_is_not():
    adata, sets = modules()
    true = scgauge.tl.single_gene_inference(adata, graph=sets, n_genes=16, n_random=19, rng=0, progress=False)
    assert (true["n_neighbors"] == 5).all()
    assert true["difference"].min() > 0.05
    assert (true["pvalue"] <= 0.05).all()
    names = np.random.default_rng(0).permutation(adata.var_names)
    shuffled = {key: names[6 * i : 6 * i + 6] for i, key in enumerate(sets)}
    false = scgauge.tl.single_gene_inference(adata, graph=shuffled, n_genes=16, n_random=19, rng=0, progress=False)
    assert abs(false["difference"].mean()) < 4 * false["difference"].std() / np.sqrt(16) + 0.01
    assert (false["padj"] > 0.05).all()
    # All other genes hold the module, too.
    assert (false["all_genes"] > false["graph"]).mean() > 0.8


def test_edges_are_pairs_of_genes_without_direction():
    adata, sets = modules(n=120)
    rows = [(a, b) for members in sets.values() for a in members for b in members]
    table = pd.DataFrame([*rows, ("m0_0", "nowhere")], columns=["tf", "target"])  # with loops and both directions
    arguments = {"n_genes": 5, "n_random": 2, "rng": 0, "progress": False}
    first = scgauge.tl.single_gene_inference(adata, graph=sets, **arguments)
    second = scgauge.tl.single_gene_inference(adata, graph=table, **arguments)
    pd.testing.assert_frame_equal(first, second)


def test_bad_input():
    adata, sets = modules(n=60)
    cases = (
        ({"graph": [1, 2]}, TypeError, "a data frame or a dictionary is needed"),
        ({"graph": {"a": ["x", "y"]}}, ValueError, "0 edges between genes"),
        ({"graph": sets, "min_neighbors": 50}, ValueError, "No gene has 50 neighbours"),
        ({"graph": sets, "ridge": 0}, ValueError, "ridge=0"),
        ({"graph": sets, "n_random": 0}, ValueError, "n_random=0"),
    )
    for arguments, error, match in cases:
        with pytest.raises(error, match=match):
            scgauge.tl.single_gene_inference(adata, **arguments)
    with pytest.raises(ValueError, match="Found 2 cells, which cannot be divided into n_folds=3"):
        scgauge.tl.single_gene_inference(adata[:2].copy(), graph=sets)
    with pytest.raises(ValueError, match="integers of the shape"):
        rewire_graph(np.ones((2, 3), dtype=int))


def test_figure_names_the_share_of_genes():
    adata, sets = modules(n=120)
    table = scgauge.tl.single_gene_inference(adata, graph=sets, n_genes=5, n_random=2, rng=0, progress=False)
    left, _ = scgauge.pl.single_gene_inference(table, show=False)
    share = 100 * (table["difference"] > 0).mean()
    assert left.get_title(loc="left") == f"graph better: {share:.0f} % of 5 genes"
    plt.close("all")
