import numpy as np
import scanpy as sc
from anndata import AnnData
from cells import make_cells
from scipy import sparse

from scgauge._core.normalise import log_normalise, median_library


def test_equals_scanpy():
    adata = make_cells()
    target = median_library(adata.X)
    assert target == np.median(np.asarray(adata.X.sum(1)))
    expected = AnnData(adata.X.astype(np.float64))
    sc.pp.normalize_total(expected, target_sum=target)
    sc.pp.log1p(expected)
    ours = log_normalise(adata.X, target)
    assert sparse.issparse(ours)
    np.testing.assert_allclose(ours.toarray(), expected.X.toarray(), rtol=1e-6)
    np.testing.assert_allclose(log_normalise(adata.X.toarray(), target), ours.toarray(), rtol=1e-12)


def test_empty_cells_stay_empty_and_do_not_count():
    x = np.array([[0, 0], [1, 3], [2, 6.0]])
    assert median_library(x) == 6
    np.testing.assert_array_equal(log_normalise(x, 6)[0], 0)
    assert median_library(np.zeros((2, 2))) == 1
