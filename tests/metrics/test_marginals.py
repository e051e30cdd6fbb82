import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

import scgauge

gene_marginals, cell_marginals = scgauge.metrics.gene_marginals, scgauge.metrics.cell_marginals

KINDS = [
    pytest.param(np.asarray, id="dense"),
    pytest.param(np.asfortranarray, id="fortran-order"),
    pytest.param(sparse.csr_matrix, id="csr_matrix"),
    pytest.param(sparse.csc_matrix, id="csc_matrix"),
    pytest.param(sparse.csr_array, id="csr_array"),
    pytest.param(sparse.csc_array, id="csc_array"),
    pytest.param(lambda x: torch.as_tensor(x, dtype=torch.float32), id="torch"),
]


def draw_counts(n=60, p=12, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.negative_binomial(2.0, 1 / (1 + rng.gamma(1.0, 1.0, p)), (n, p)).astype(np.float32)
    counts[:, 3] = 0  # a gene without a count
    counts[5] = 0  # a cell without a count
    return counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_size", [None, 7, 1])
def test_genes_equal_numpy_and_scipy(kind, block_size):
    counts = draw_counts()
    result = gene_marginals(kind(counts), block_size=block_size)
    exact = counts.astype(np.float64)
    # Closed forms in float64, sums in another order.
    np.testing.assert_allclose(result.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.variance, exact.var(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(result.zero_fraction, (exact == 0).mean(axis=0), rtol=1e-12)
    expressed = exact.mean(axis=0) > 0
    np.testing.assert_allclose(result.cv[expressed], stats.variation(exact[:, expressed], axis=0, ddof=1), rtol=1e-12)
    mean, variance = exact[:, expressed].mean(axis=0), exact[:, expressed].var(axis=0, ddof=1)
    np.testing.assert_allclose(result.fano[expressed], variance / mean, rtol=1e-12)
    # The moments determine the negative binomial: its variance is mean + overdispersion * mean^2.
    np.testing.assert_allclose(mean + result.overdispersion[expressed] * mean**2, variance, rtol=1e-12)
    for name in ("cv", "fano", "overdispersion"):
        assert np.array_equal(np.isnan(getattr(result, name)), ~expressed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_size", [None, 7, 1])
def test_cells_equal_numpy(kind, block_size):
    counts = draw_counts()
    result = cell_marginals(kind(counts), block_size=block_size)
    assert np.array_equal(result.library, counts.sum(axis=1))
    assert np.array_equal(result.n_genes, (counts > 0).sum(axis=1))
    assert result.n_genes.dtype == np.int64
    np.testing.assert_allclose(result.zero_fraction, (counts == 0).mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"])
def test_backed_file(kind, tmp_path):
    counts = draw_counts()
    ad.AnnData(kind(counts)).write_h5ad(tmp_path / "counts.h5ad")
    backed = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    np.testing.assert_allclose(
        gene_marginals(backed.X, block_size=16).variance, counts.astype(float).var(axis=0, ddof=1), rtol=1e-12
    )
    assert np.array_equal(cell_marginals(backed.X, block_size=16).library, counts.sum(axis=1))
    backed.file.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, bool])
def test_dtypes(dtype):
    counts = (draw_counts() > 0).astype(dtype)
    for x in (counts, sparse.csr_matrix(counts)):
        np.testing.assert_allclose(gene_marginals(x).variance, counts.astype(float).var(axis=0, ddof=1), rtol=1e-12)
        assert np.array_equal(cell_marginals(x).library, counts.astype(float).sum(axis=1))


def test_variance_is_stable_where_the_textbook_formula_fails():
    values = 1e9 + np.tile([[0.0], [1.0], [2.0]], (40, 1))
    textbook = (values**2).mean() - values.mean() ** 2
    expected = values.var(ddof=1)  # numpy takes two passes
    assert abs(textbook - expected) > 0.1 * expected
    for x in (values, sparse.csr_matrix(values)):
        # A mean of 1e9 is exact to 1e-7, next to deviations near 1.
        np.testing.assert_allclose(gene_marginals(x, block_size=7).variance, expected, rtol=1e-6)


@given(
    counts=st.integers(2, 20).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=n, max_size=n)
    ),
    block=st.integers(1, 25),
    seed=st.integers(0, 100),
)
def test_order_of_cells_and_genes_and_blocks_do_not_matter(counts, block, seed):
    x = np.array(counts, dtype=np.float32)
    rng = np.random.default_rng(seed)
    cells, genes = rng.permutation(len(x)), rng.permutation(4)
    shuffled = sparse.csc_matrix(x[cells][:, genes])
    ours, theirs = gene_marginals(x).to_frame(), gene_marginals(shuffled, block_size=block).to_frame()
    # Merging blocks in another order changes the rounding only; variances of 0 come out as exact zeros or nearly so.
    np.testing.assert_allclose(theirs, ours.iloc[genes], rtol=1e-10, atol=1e-12)
    ours, theirs = cell_marginals(x).to_frame(), cell_marginals(shuffled, block_size=block).to_frame()
    np.testing.assert_allclose(theirs, ours.iloc[cells], rtol=1e-12)


def test_entries_stored_twice_or_as_zero_count_once_and_not():
    twice = sparse.csr_matrix(
        (np.array([1.0, 2.0, 0.0, 4.0]), np.array([0, 0, 1, 1]), np.array([0, 3, 4])), shape=(2, 2)
    )
    before = twice.data.copy()
    result = gene_marginals(twice)
    assert result.mean.tolist() == [1.5, 2.0]
    assert result.variance.tolist() == [4.5, 8.0]
    assert result.zero_fraction.tolist() == [0.5, 0.5]
    assert cell_marginals(twice).n_genes.tolist() == [1, 1]
    assert np.array_equal(twice.data, before)


def test_moments_recover_the_truth_of_negative_binomial_counts():
    rng = np.random.default_rng(0)
    mean, inverse_dispersion = 3.0, 2.0
    p = inverse_dispersion / (inverse_dispersion + mean)
    result = gene_marginals(rng.negative_binomial(inverse_dispersion, p, (2000, 50)))
    estimates = result.overdispersion
    assert abs(estimates.mean() - 1 / inverse_dispersion) < 5 * estimates.std() / np.sqrt(50)
    zeros = result.zero_fraction
    assert abs(zeros.mean() - stats.nbinom.pmf(0, inverse_dispersion, p)) < 5 * zeros.std() / np.sqrt(50)


def test_one_cell_has_no_variance():
    result = gene_marginals(np.array([[0.0, 3.0]]))
    assert np.isnan(result.variance).all()
    assert result.mean.tolist() == [0.0, 3.0]


def test_tables_carry_names():
    table = gene_marginals(draw_counts(p=4)).to_frame(["a", "b", "c", "d"])
    assert table.index.tolist() == ["a", "b", "c", "d"]
    assert list(table) == ["mean", "variance", "zero_fraction", "cv", "fano", "overdispersion"]
    table = cell_marginals(draw_counts(n=6)).to_frame()
    assert isinstance(table.index, pd.RangeIndex)
    assert list(table) == ["library", "n_genes", "zero_fraction"]


def test_memory_is_bounded_by_the_block(monkeypatch):
    seen = []
    block_moments = scgauge.metrics._marginals._block_moments
    monkeypatch.setattr(
        "scgauge.metrics._marginals._block_moments", lambda block: seen.append(block.shape) or block_moments(block)
    )
    monkeypatch.setattr("scgauge._core.matrix.BLOCK_BYTES", 8 * 12 * 10)
    gene_marginals(sparse.csr_matrix(draw_counts()))
    assert seen == [(10, 12)] * 6


@pytest.mark.parametrize("function", [gene_marginals, cell_marginals], ids=["genes", "cells"])
@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        pytest.param(
            np.array([[1.0, np.nan]]), ValueError, "1 values that are NaN or infinite in rows 0 to 0", id="nan"
        ),
        pytest.param(sparse.csr_matrix([[np.inf, 0.0]]), ValueError, "1 values that are NaN or infinite", id="inf"),
        pytest.param(np.ones(3), ValueError, r"needs the shape \(n_obs, n_vars\).*found \(3,\)", id="vector"),
        pytest.param([[1.0]], ValueError, r"found \(\)", id="list"),
        pytest.param(np.ones((0, 3)), ValueError, r"found \(0, 3\)", id="no-cells"),
        pytest.param(np.ones((3, 0)), ValueError, r"found \(3, 0\)", id="no-genes"),
        pytest.param(np.array([["a"]]), TypeError, "dtype <U1", id="text"),
        pytest.param(ad.AnnData(np.ones((2, 2), dtype="f4")), TypeError, "is an AnnData", id="anndata"),
        pytest.param(torch.eye(2).to_sparse(), TypeError, "sparse tensor", id="sparse-tensor"),
    ],
)
def test_bad_input(function, x, error, match):
    with pytest.raises(error, match=match):
        function(x)
