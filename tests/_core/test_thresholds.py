import numpy as np
import pytest
from scipy import sparse

from scgauge._core.thresholds import above, quantile_thresholds


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.9])
def test_sparse_and_dense_agree_with_numpy(negative, quantile, monkeypatch):
    monkeypatch.setattr("scgauge._core.thresholds._VALUES_AT_ONCE", 100)
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.8, (57, 9)) - (rng.random((57, 9)) < 0.2) * negative
    cells = rng.random(57) < 0.7
    expected = np.quantile(dense[cells], quantile, axis=0)
    for matrix in (dense, sparse.csr_matrix(dense), sparse.csc_matrix(dense)):
        np.testing.assert_allclose(quantile_thresholds(matrix, quantile, cells=cells), expected, rtol=1e-12)
    ones = above(sparse.csr_matrix(dense), expected)
    assert sparse.issparse(ones) == bool((expected >= 0).all())
    ones = ones.toarray() if sparse.issparse(ones) else ones
    np.testing.assert_array_equal(ones, dense > expected)
