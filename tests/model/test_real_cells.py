"""Differential expression, query mapping, minification and files on real blood cells, for every likelihood."""

import numpy as np
import pytest
import scanpy as sc
import scvi
from cells import LIKELIHOODS, train_quietly

from scgauge.datasets import pbmc68k_counts
from scgauge.model import CountVI
from scgauge.pp import binarize
from scgauge.tl import sample

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def blood():
    """Monocytes, B cells and killer cells of the public set, as counts, binary and log-normalised."""
    adata = pbmc68k_counts()
    adata = adata[adata.obs["cell_type"].isin(["CD14+ Monocyte", "CD19+ B", "CD56+ NK"])].copy()
    sc.pp.filter_genes(adata, min_cells=10)
    binarize(adata)
    adata.layers["logged"] = adata.X.copy()
    sc.pp.normalize_total(adata, layer="logged")
    sc.pp.log1p(adata, layer="logged")
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 2, "odd", "even")
    return adata


def _layer(gene_likelihood: str) -> str | None:
    return {"bernoulli": "binary", "normal": "logged"}.get(gene_likelihood)


@pytest.fixture(params=LIKELIHOODS, scope="module")
def model(request, blood) -> CountVI:
    adata = blood.copy()
    scvi.settings.seed = 0
    CountVI.setup_anndata(adata, layer=_layer(request.param), batch_key="batch", labels_key="cell_type")
    built = CountVI(adata, gene_likelihood=request.param, n_latent=5, n_hidden=32)
    return train_quietly(built, max_epochs=40, batch_size=64, plan_kwargs={"lr": 5e-3})


def test_markers_are_differentially_expressed(model):
    # Surface markers and effector genes of one type each. Class II genes (CD74, HLA-DRA) are no such markers: monocytes
    # have them too, so that nearly every cell here is positive and binary data say nothing about them.
    markers = {
        "CD14+ Monocyte": {"LYZ", "S100A8", "S100A9", "CST3"},
        "CD19+ B": {"CD79A", "CD79B"},
        "CD56+ NK": {"NKG7", "GNLY", "GZMB", "PRF1"},
    }
    table = model.differential_expression(groupby="cell_type", mode="change", silent=True)
    effect = "lfc_mean" if model.module.spec.counts else "difference_mean"
    for cell_type, genes in markers.items():
        rows = table[table["group1"] == cell_type]
        known = genes & set(rows.index)
        assert known
        # The mean rank of the markers is in the top tenth of all genes.
        ranks = rows[effect].rank(ascending=False)[list(known)]
        assert ranks.mean() < 0.1 * len(rows)


def test_latents_separate_the_types(model):
    from sklearn.metrics import silhouette_score

    assert silhouette_score(model.get_latent_representation(), model.adata.obs["cell_type"]) > 0.1


def test_a_new_batch_is_mapped_without_changing_the_reference(model, blood):
    query = blood.copy()
    query.obs["batch"] = "new"
    mapped = train_quietly(CountVI.load_query_data(query, model), max_epochs=2)
    expected = model.get_latent_representation()
    np.testing.assert_array_equal(mapped.get_latent_representation(blood.copy()), expected)
    assert np.isfinite(float(mapped.get_elbo()))


def test_files_and_minification_keep_the_latents(model, blood, tmp_path):
    latent, variance = model.get_latent_representation(return_dist=True)
    model.save(tmp_path / "model")
    loaded = CountVI.load(tmp_path / "model", adata=blood.copy())
    np.testing.assert_array_equal(loaded.get_latent_representation(), latent)
    loaded.adata.obsm["X_latent_qzm"], loaded.adata.obsm["X_latent_qzv"] = latent, variance
    loaded.minify_adata()
    np.testing.assert_array_equal(loaded.get_latent_representation(), latent)
    assert loaded.get_normalized_expression().shape == blood.shape


def test_synthetic_cells_have_the_means_of_the_real_ones(model, blood):
    layer = _layer(model.module.gene_likelihood)
    real = np.asarray((blood.X if layer is None else blood.layers[layer]).mean(0)).ravel()
    synthetic = np.asarray(sample(model, 2000, source="aggregate", rng=0).X.mean(0)).ravel()
    assert np.corrcoef(real, synthetic)[0, 1] > 0.95
