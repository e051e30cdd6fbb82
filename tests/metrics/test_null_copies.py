import numpy as np
import pytest
from scipy import sparse, stats

from scgauge.metrics import cell_marginals, gene_marginals, independent_copy, poisson_copy


def counts(n=400, p=15, seed=0):
    rng = np.random.default_rng(seed)
    library = rng.gamma(5, 0.2, (n, 1))
    return rng.poisson(rng.gamma(1, 1, (1, p)) * library * rng.gamma(0.5, 2, (n, p))).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_independent_copy_keeps_every_gene_and_nothing_else(kind):
    x = counts()
    copy = independent_copy(kind(x), rng=0)
    copy = copy.toarray() if sparse.issparse(copy) else copy
    np.testing.assert_array_equal(np.sort(copy, axis=0), np.sort(x, axis=0))
    assert copy.dtype == x.dtype
    off = np.corrcoef(copy.T)[np.triu_indices(15, 1)]
    assert np.abs(off).max() < 4.5 / np.sqrt(400)
    # Library sizes of independent genes vary by the sum of the variances of the genes.
    assert cell_marginals(copy).library.var() == pytest.approx(x.var(0).sum(), rel=0.35)


def test_independent_copy_puts_entries_anywhere():
    # One entry in each of 3000 columns of 5 rows: each row gets its share.
    x = sparse.csr_matrix((np.ones(3000), (np.zeros(3000, dtype=int), np.arange(3000))), shape=(5, 3000))
    found = np.asarray(independent_copy(x, rng=0).sum(axis=1)).ravel()
    assert stats.chisquare(found).pvalue > 0.001


def test_poisson_copy_has_means_libraries_and_poisson_variance():
    x = counts(n=4000)
    copy = poisson_copy(sparse.csr_matrix(x), rng=0)
    library = x.sum(1, dtype=float)
    expected = np.outer(library, x.sum(0, dtype=float) / library.sum())
    error = np.sqrt(expected.sum(0))
    assert np.abs((copy.toarray().sum(0) - expected.sum(0)) / error).max() < 4.5
    assert np.abs((cell_marginals(copy).library - library) / np.sqrt(library.clip(1))).max() < 5.5
    # The variance of each gene: Poisson noise and that of the rates.
    variance = expected.mean(0) + expected.var(0)
    assert gene_marginals(copy).variance == pytest.approx(variance, rel=0.2)
    assert (gene_marginals(copy).variance < gene_marginals(x).variance).all()


def test_bad_input():
    with pytest.raises(ValueError, match="negative values"):
        poisson_copy(np.array([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match="no count at all"):
        poisson_copy(np.zeros((2, 2)))
