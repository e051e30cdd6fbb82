import numpy as np
import pytest
import scanpy as sc
from sklearn.decomposition import PCA

import scgauge


def cells(n=150, genes=40, seed=0):
    return scgauge.datasets.simulate_counts(n, genes, n_groups=3, rng=seed)


def embed(adata, **arguments):
    scgauge.tl.embed(adata, **({"rng": 0, "progress": False, "n_pcs": 10} | arguments))
    return adata


def same_up_to_sign(x, y):
    return np.sign((x * y).sum(axis=0)) * y


@pytest.mark.parametrize("dense", [False, True])
def test_pca_is_that_of_scanpy(dense):
    adata = cells()
    if dense:
        adata.X = adata.X.toarray()
    embed(adata, methods="pca")
    theirs = cells()
    sc.pp.normalize_total(theirs)  # to the median
    sc.pp.log1p(theirs)
    expected = PCA(10, svd_solver="full").fit_transform(theirs.X.toarray().astype(float))
    found = adata.obsm["X_embed_input"]
    np.testing.assert_allclose(same_up_to_sign(expected, found), expected, atol=1e-4)
    pca = adata.obsm["X_embed_pca"]
    np.testing.assert_allclose(same_up_to_sign(found[:, :2], pca), found[:, :2], atol=1e-8)


def test_all_methods_embed_the_same_cells_and_are_recorded():
    adata = embed(
        cells(),
        methods=["pca", "tsne", "umap", "vae", "ldvae"],
        options={"vae": {"max_epochs": 2, "n_hidden": 16}, "ldvae": {"max_epochs": 2}, "umap": {"maxiter": 20}},
    )
    table = adata.uns["embed"]["methods"]
    assert table["method"].tolist() == ["pca", "tsne", "umap", "vae", "ldvae"]
    for basis, n_dims in zip(table["basis"], table["n_dims"], strict=True):
        assert adata.obsm[basis].shape == (150, n_dims) == (150, 2)
    assert table["package"].str.split().str[0].tolist() == ["scikit-learn", "openTSNE", "umap-learn", *["scgauge"] * 2]
    assert adata.uns["embed"]["params"]["options"]["vae"] == {"max_epochs": 2, "n_hidden": 16}
    assert not [key for key in adata.uns if key.startswith("_scvi")]
    scgauge.tl.embedding_quality(
        adata, basis=["X_embed_tsne", "X_embed_umap"], use_rep="X_embed_input", n_neighbors=15, rng=0
    )
    scores = adata.uns["embedding_quality"]["scores"]
    assert (scores.query("metric == 'trustworthiness'")["value"] > 0.8).all()


def test_tsne_without_opentsne_is_that_of_sklearn(monkeypatch):
    for module in ("_embedding_methods", "_embed"):
        monkeypatch.setattr(f"scgauge.tl.{module}.find_spec", lambda name: None if name == "openTSNE" else True)
    adata = embed(cells(100), methods="tsne")
    assert adata.uns["embed"]["methods"]["package"][0].startswith("scikit-learn")
    assert adata.obsm["X_embed_tsne"].shape == (100, 2)
    from sklearn.manifold import TSNE, trustworthiness

    points = adata.obsm["X_embed_input"]
    start = adata.obsm["X_embed_input"][:, :2] / adata.obsm["X_embed_input"][:, 0].std() * 1e-4
    expected = TSNE(2, perplexity=30, init=start.astype("f4"), random_state=adata.uns["embed"]["params"]["seed"])
    score = [trustworthiness(points, y) for y in (expected.fit_transform(points), adata.obsm["X_embed_tsne"])]
    assert abs(score[0] - score[1]) < 0.02


def test_a_model_that_is_given_is_not_trained_again():
    adata = cells()
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=4, n_hidden=16)
    model.train(max_epochs=1, enable_progress_bar=False)
    embed(adata, methods="vae", model=model)
    np.testing.assert_allclose(adata.obsm["X_embed_vae"], model.get_latent_representation(), rtol=1e-6)
    assert adata.uns["embed"]["params"]["model"] == "CountVI"


def test_own_methods_get_the_input_and_the_seed():
    seen = {}

    def first(points, seed, *, factor=1.0):
        seen.update(points=points, seed=seed)
        return factor * points[:, :1]

    adata = cells()
    adata.obsm["X_mine"] = np.random.default_rng(0).normal(size=(150, 3))
    embed(adata, methods={"first": first, "pca": None}, use_rep="X_mine", options={"first": {"factor": 2.0}})
    np.testing.assert_array_equal(seen["points"], adata.obsm["X_mine"])
    np.testing.assert_array_equal(adata.obsm["X_embed_first"], 2 * adata.obsm["X_mine"][:, :1])
    assert seen["seed"] == adata.uns["embed"]["params"]["seed"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"methods": []}, ValueError, "one or several"),
        ({"methods": ["pca", "pca"]}, ValueError, "one or several"),
        ({"methods": "isomap"}, ValueError, "isomap"),
        ({"options": {"umap": {}}}, ValueError, "umap"),
        ({"use_rep": "X_nan"}, ValueError, "2 values that are NaN"),
        ({"use_rep": "X_one"}, ValueError, "at one place"),
        ({"use_rep": "X_nowhere"}, KeyError, "X_nowhere"),
        ({"layer": "nowhere"}, KeyError, "nowhere"),
        ({"n_components": 0}, ValueError, "n_components=0"),
        ({"model": object()}, ValueError, "'vae'"),
        ({"methods": "vae", "model": object()}, TypeError, "cannot be read"),
        ({"methods": "tsne", "options": {"tsne": {"perplexity": 60}}}, ValueError, "perplexity=60"),
        ({"methods": "umap", "options": {"umap": {"n_neighbors": 150}}}, ValueError, "n_neighbors=150"),
        ({"methods": {"mine": lambda points, _: points[:5]}}, ValueError, "one finite point"),
    ],
)
def test_bad_input(change, error, match):
    adata = cells()
    adata.obsm["X_nan"] = np.where(np.arange(150)[:, None] == 3, np.nan, np.ones((150, 2)))
    adata.obsm["X_one"] = np.ones((150, 2))
    before = set(adata.obsm)
    with pytest.raises(error, match=match):
        embed(adata, **({"methods": "pca"} | change))
    assert set(adata.obsm) == before


def test_too_few_cells():
    with pytest.raises(ValueError, match="four are needed"):
        embed(cells()[:3].copy(), methods="pca")
