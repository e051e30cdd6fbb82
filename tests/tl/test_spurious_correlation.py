import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse, stats

import scgauge
from scgauge.metrics._spurious_correlation import largest_by_chance

spurious_correlation = scgauge.metrics.spurious_correlation


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_correlations_equal_scipy(as_matrix, monkeypatch):
    rng = np.random.default_rng(0)
    x, target = rng.poisson(0.7, (50, 30)).astype(float), rng.normal(size=50)
    x[:, 3] = 2
    expected = [np.nan if j == 3 else stats.pearsonr(x[:, j], target).statistic for j in range(30)]
    result = spurious_correlation(as_matrix(x), target, n_permutations=99, rng=0)
    np.testing.assert_allclose(result.r, expected, atol=1e-12)
    assert result.p == 29
    monkeypatch.setattr("scgauge.metrics._spurious_correlation._BLOCK_BYTES", 8 * 100 * 4)
    blocks = spurious_correlation(as_matrix(x), target, n_permutations=99, rng=0)
    np.testing.assert_allclose(blocks.null, result.null)
    np.testing.assert_allclose(blocks.r, result.r)


def test_chance_of_independent_variables():
    # The published form for fat data, and the median of what is simulated.
    np.testing.assert_allclose(largest_by_chance(20, 20_000), np.sqrt(1 - 20_000 ** (-2 / 18)), atol=0.03)
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(25, 3000)), rng.normal(size=25)
    result = spurious_correlation(x, target, n_permutations=199, rng=0)
    np.testing.assert_allclose(np.median(result.null), result.expected, atol=0.02)
    # Quantiles of the exact law.
    np.testing.assert_allclose(np.quantile(result.null, 0.9), largest_by_chance(25, 3000, 0.9), atol=0.03)


def test_pvalues_hold_the_familywise_level_and_find_a_gene():
    rng = np.random.default_rng(0)
    false = 0
    for seed in range(100):
        x, target = rng.normal(size=(20, 50)), rng.normal(size=20)
        false += spurious_correlation(x, target, n_permutations=99, rng=seed).pvalue.min() <= 0.05
    # 5 % and four standard errors.
    assert false <= 5 + 4 * np.sqrt(100 * 0.05 * 0.95)
    x[:, 4] = target + 0.1 * rng.normal(size=20)
    result = spurious_correlation(x, target, n_permutations=99, rng=0)
    assert np.flatnonzero(result.pvalue <= 0.05).tolist() == [4]


def test_dependent_genes_have_a_smaller_maximum():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 1000))
    result = spurious_correlation(shared + 0.1 * rng.normal(size=(40, 1000)), rng.normal(size=40), rng=0)
    assert np.median(result.null) < result.expected - 0.05


def test_result_on_cells():
    adata = scgauge.datasets.simulate_counts(80, 60, rng=0)
    scgauge.tl.spurious_correlation(adata, target="library_size", rng=0)
    assert list(adata.uns["spurious_correlation"]) == ["params", "summary", "null"]
    counts = adata.X.toarray().astype(float)
    library = counts.sum(1, keepdims=True)
    values = np.log1p(counts / library * np.median(library))
    expected = [stats.pearsonr(column, adata.obs["library_size"]).statistic for column in values.T]
    np.testing.assert_allclose(adata.var["spurious_correlation_r"], expected, atol=1e-9)
    adata.obs["half"] = ["a", "b"] * 40
    scgauge.tl.spurious_correlation(adata, target="half", rng=0, key_added="half")
    adata.obs["code"] = [0, 1] * 40
    scgauge.tl.spurious_correlation(adata, target="code", rng=0, key_added="code")
    np.testing.assert_array_equal(adata.var["half_r"], adata.var["code_r"])


@pytest.mark.parametrize(
    ("target", "match"),
    [("same", "not all equal"), ("three", "3 labels"), ("missing", "1 missing values")],
)
def test_bad_targets(target, match):
    adata = AnnData(np.random.default_rng(0).poisson(3, (9, 4)).astype("f4"))
    adata.obs["same"] = 1.0
    adata.obs["three"] = list("abcabcabc")
    adata.obs["missing"] = [np.nan] + [1.0, 2.0] * 4
    with pytest.raises(ValueError, match=match):
        scgauge.tl.spurious_correlation(adata, target=target)
    assert not adata.uns


def test_bad_arrays():
    x, target = np.ones((6, 2)), np.arange(6.0)
    with pytest.raises(ValueError, match="No variable varies"):
        spurious_correlation(x, target)
    x[0] = 0
    with pytest.raises(ValueError, match="n_permutations=0"):
        spurious_correlation(x, target, n_permutations=0)
    with pytest.raises(ValueError, match="one finite number"):
        spurious_correlation(x, target[:3])
