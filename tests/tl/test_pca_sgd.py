import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import scgauge


@pytest.fixture(scope="module")
def cells():
    """Cells whose first three components stand out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) * [6, 4, 3] @ np.linalg.qr(rng.normal(size=(25, 3)))[0].T
    return AnnData((x + rng.normal(size=(400, 25)) + 5).astype(np.float32))


def test_the_space_is_that_of_pca(cells):
    exact = PCA(3, svd_solver="full").fit(cells.X)
    scgauge.tl.pca_sgd(cells, n_comps=3, rng=0)
    components = cells.varm["pca_sgd"]
    assert np.degrees(subspace_angles(components, exact.components_.T)).max() < 1
    np.testing.assert_allclose(components.T @ components, np.eye(3), atol=1e-12)
    variance = cells.uns["pca_sgd"]["variance"]
    np.testing.assert_allclose(variance["variance"], exact.explained_variance_, rtol=1e-3)
    np.testing.assert_allclose(variance["ratio"], exact.explained_variance_ratio_, rtol=1e-3)


def test_it_agrees_with_scanpy(cells):
    sc.pp.pca(cells, n_comps=3)
    scgauge.tl.pca_sgd(cells, n_comps=3, rng=1)
    for k in range(3):
        assert abs(np.corrcoef(cells.obsm["X_pca"][:, k], cells.obsm["X_pca_sgd"][:, k])[0, 1]) > 0.999


def test_scores_are_projections_and_the_error_falls(cells):
    scgauge.tl.pca_sgd(cells, n_comps=3, rng=0)
    expected = (cells.X - cells.X.mean(0)) @ cells.varm["pca_sgd"]
    np.testing.assert_allclose(cells.obsm["X_pca_sgd"], expected, rtol=1e-4, atol=1e-4)
    history = cells.uns["pca_sgd"]["history"]["mse"]
    assert history.iloc[-1] < history.iloc[0]
    covariance = np.cov(cells.obsm["X_pca_sgd"].T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-8)


def test_sparse_cells_give_the_same(cells):
    dense, sparse_ = cells.copy(), cells.copy()
    dense.X[dense.X < 4] = 0
    sparse_.X = sparse.csc_matrix(dense.X)
    for adata in (dense, sparse_):
        scgauge.tl.pca_sgd(adata, n_comps=2, n_epochs=3, rng=0)
    # scipy sums the columns of a sparse float32 matrix in float32
    np.testing.assert_allclose(dense.obsm["X_pca_sgd"], sparse_.obsm["X_pca_sgd"], rtol=1e-3, atol=1e-5)


def test_tasic_angles(data_dir):
    adata = scgauge.datasets.tasic2016()
    sc.pp.log1p(adata)
    for k in (2, 5, 9):
        exact = PCA(k, svd_solver="full").fit(np.asarray(adata.X, dtype=float))
        scgauge.tl.pca_sgd(adata, n_comps=k, n_epochs=50 if k < 9 else 200, rng=0)
        assert np.degrees(subspace_angles(adata.varm["pca_sgd"], exact.components_.T)).max() < 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_comps": 0}, "n_comps=0"),
        ({"n_comps": 25}, "1 to 24"),
        ({"n_comps": 3, "batch_size": 5}, "twice n_comps"),
        ({"n_epochs": 0}, "n_epochs=0"),
        ({"step_size": 2}, "step_size=2"),
    ],
)
def test_bad_arguments(cells, arguments, match):
    with pytest.raises(ValueError, match=match):
        scgauge.tl.pca_sgd(cells, **{"n_comps": 2} | arguments)


def test_cells_that_are_all_the_same():
    with pytest.raises(ValueError, match="same"):
        scgauge.tl.pca_sgd(AnnData(np.ones((20, 5), dtype="float32")), n_comps=2)
