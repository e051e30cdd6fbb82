import anndata as ad
import numpy as np
import pytest
from scipy import spatial
from sklearn.neighbors import NearestNeighbors

import scgauge


def cells(n=120):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    obsm = {"X_all": x, "X_two": x[:, :2], "X_turned": 2 * x[:, [1, 0]] - 1, "X_noise": rng.normal(size=(n, 2))}
    return ad.AnnData(np.ones((n, 2), dtype="f4"), obsm=obsm | {"X_one": np.ones((n, 2))})


def compare(adata, **arguments):
    arguments = {"basis": ["X_all", "X_two", "X_turned", "X_noise"], "n_neighbors": (5, 20), "rng": 0} | arguments
    scgauge.tl.compare_embeddings(adata, **arguments)
    return adata.uns["compare_embeddings"]["scores"].set_index(["first", "second", "metric", "k"])


def test_scores_equal_independent_ones():
    adata = cells()
    found = compare(adata)["value"]
    assert len(found) == 6 * 4
    for one, other in (("X_all", "X_noise"), ("X_two", "X_turned")):
        x, y = (adata.obsm[name] for name in (one, other))
        for k in (5, 20):
            near = [NearestNeighbors(n_neighbors=k).fit(z).kneighbors(return_distance=False) for z in (x, y)]
            share = np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)])
            np.testing.assert_allclose(found[one, other, "recall", k], share, rtol=1e-12)
        width = max(x.shape[1], y.shape[1])
        padded = [np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in (x, y)]
        expected = spatial.procrustes(*padded)[2]
        np.testing.assert_allclose(found[one, other, "procrustes", 0], expected, atol=1e-10)
    assert found["X_two", "X_turned", "cka", 0] == pytest.approx(1)


def test_a_sample_of_cells_estimates_all():
    adata = cells(600)
    exact = compare(adata)["value"]["X_all", "X_two", "recall", 20]
    draws = [compare(adata, n_query=60, rng=seed).loc[("X_all", "X_two", "recall", 20)] for seed in range(30)]
    z = np.array([(draw["value"] - exact) / draw["se"] for draw in draws])
    assert abs(z.mean()) < 4 / np.sqrt(30)
    assert 0.6 < z.std() < 1.5


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"basis": "X_all"}, TypeError, "a list of strings is needed"),
        ({"basis": ["X_all", "X_all"]}, ValueError, "two or more"),
        ({"basis": ["X_all", "X_nowhere"]}, KeyError, "X_nowhere"),
        ({"basis": ["X_all", "X_one"]}, ValueError, "one place"),
        ({"n_neighbors": 60}, ValueError, "below half"),
        ({"n_query": 1}, ValueError, "n_query=1"),
    ],
)
def test_bad_input(change, error, match):
    with pytest.raises(error, match=match):
        compare(cells(), **change)


def test_figure_has_a_matrix_for_each_score():
    adata = cells()
    compare(adata)
    axes = scgauge.pl.compare_embeddings(adata, show=False)
    assert [len(panel.texts) for panel in axes] == [16] * 4
    matrix = axes[2].images[0].get_array()
    assert matrix[1, 2] == pytest.approx(1)
    assert matrix[0, 3] == matrix[3, 0]
