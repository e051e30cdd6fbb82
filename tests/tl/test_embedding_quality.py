import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

import scgauge


def embedded(n=120, seed=0):
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(np.ones((n, 2), dtype="f4"))
    adata.obs["type"] = pd.Categorical(rng.choice(["T", "B", "NK", "DC"], n))
    adata.obsm["X_pca"] = rng.normal(size=(n, 5)) + 3 * adata.obs["type"].cat.codes.to_numpy()[:, None]
    adata.obsm["X_good"] = adata.obsm["X_pca"][:, :2]
    adata.obsm["X_noise"] = rng.normal(size=(n, 2))
    return adata


def score(adata, **arguments):
    scgauge.tl.embedding_quality(
        adata, **({"basis": ["X_good", "X_noise"], "n_neighbors": (20, 5), "rng": 0} | arguments)
    )
    return adata.uns["embedding_quality"]


def test_table_is_that_of_the_metric_for_each_basis():
    adata = embedded()
    result = score(adata, labels_key="type")
    assert list(result["scores"]) == ["basis", "metric", "k", "value", "se"]
    assert result["params"]["n_neighbors"] == [5, 20]
    for basis in ("X_good", "X_noise"):
        alone = scgauge.metrics.embedding_quality(
            adata.obsm["X_pca"], adata.obsm[basis], n_neighbors=(5, 20), labels=adata.obs["type"], rng=0
        )
        mine = result["scores"].query("basis == @basis").drop(columns="basis").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone.scores)
        curve = result["rnx"].query("basis == @basis").drop(columns="basis").reset_index(drop=True)
        pd.testing.assert_frame_equal(curve, alone.curve)
    assert {"knc", "neighborhood_hit"} <= set(result["scores"]["metric"])
    assert not {"knc", "neighborhood_hit"} & set(score(adata)["scores"]["metric"])


def test_scores_of_cells_average_to_the_table():
    adata = embedded()
    scores = score(adata)["scores"].set_index(["basis", "metric", "k"])["value"]
    for basis in ("X_good", "X_noise"):
        for metric in ("recall", "trustworthiness", "continuity"):
            column = adata.obs[f"embedding_quality_{basis}_{metric}"]
            np.testing.assert_allclose(column.mean(), scores[basis, metric, 5], rtol=1e-12)
    expected = trustworthiness(adata.obsm["X_pca"], adata.obsm["X_good"], n_neighbors=5)
    np.testing.assert_allclose(scores["X_good", "trustworthiness", 5], expected, rtol=1e-12)


def test_a_misplaced_cell_is_found():
    adata = embedded()
    adata.obsm["X_bad"] = adata.obsm["X_pca"].copy()
    adata.obsm["X_bad"][7] = 100.0
    score(adata, basis="X_bad")
    assert adata.obs["embedding_quality_X_bad_recall"].argmin() == 7
    nearest = NearestNeighbors(n_neighbors=5).fit(adata.obsm["X_pca"]).kneighbors(return_distance=False)
    lost = np.flatnonzero((nearest == 7).any(axis=1))  # the cells that it was a neighbour of
    continuity = adata.obs["embedding_quality_X_bad_continuity"].to_numpy()
    assert set(np.flatnonzero(continuity < 1)) - {7} == set(lost)
    # Its own trustworthiness, from the ranks of those that are its neighbours now.
    x, n, k = adata.obsm["X_pca"], adata.n_obs, 5
    now = NearestNeighbors(n_neighbors=k).fit(adata.obsm["X_bad"]).kneighbors(return_distance=False)[7]
    ranks = np.linalg.norm(x - x[7], axis=1).argsort().argsort()[now]
    expected = 1 - 2 / (k * (2 * n - 3 * k - 1)) * np.maximum(ranks - k, 0).sum()
    found = adata.obs["embedding_quality_X_bad_trustworthiness"].to_numpy()[7]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sampled_cells():
    adata = embedded()
    result = score(adata, n_query=30)
    column = adata.obs["embedding_quality_X_good_recall"]
    assert column.notna().sum() == result["params"]["n_query"] == 30
    table = result["scores"].set_index(["basis", "metric", "k"])
    np.testing.assert_allclose(table.loc[("X_good", "recall", 5), "value"], column.mean(), rtol=1e-12)
    expected = column.std() / np.sqrt(30) * np.sqrt(1 - 30 / 120)
    np.testing.assert_allclose(table.loc[("X_good", "recall", 5), "se"], expected, rtol=1e-12)


def test_same_seed_same_result():
    first, second = (score(embedded(), n_query=30, rng=3)["scores"] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(score(embedded(), n_query=30, rng=4)["scores"])


def test_reference_of_the_neighbour_graph():
    adata = embedded()
    assert score(adata, use_rep=None)["params"]["use_rep"] == "X_pca"
    adata.obsm["X_scvi"] = adata.obsm["X_pca"][:, 2:]
    adata.uns["neighbors"] = {"params": {"use_rep": "X_scvi"}}
    result = score(adata, use_rep=None)
    assert result["params"]["use_rep"] == "X_scvi"
    pd.testing.assert_frame_equal(result["scores"], score(adata, use_rep="X_scvi")["scores"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"basis": "X_umap"}, KeyError, "basis='X_umap'"),
        ({"basis": []}, ValueError, "one or several"),
        ({"basis": ["X_good", "X_good"]}, ValueError, "different"),
        ({"use_rep": "X_none"}, KeyError, "use_rep='X_none'"),
        ({"labels_key": "none"}, KeyError, "labels_key='none'"),
        ({"n_neighbors": 60}, ValueError, r"\[60\]"),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        score(embedded(), **change)


def test_default_numbers_of_neighbours_need_300_cells():
    with pytest.raises(ValueError, match=r"n_neighbors has \[150\].*120"):
        scgauge.tl.embedding_quality(embedded(), basis="X_good")
