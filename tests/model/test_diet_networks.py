"""First layers predicted from embeddings of genes, and the labels that must not leak through them."""

import cells as simulated
import numpy as np
import pytest
import scvi
import torch

import scgauge
from scgauge.model import Autoencoder, CountVI
from scgauge.nn import PredictedLinear

CASES = [pytest.param(Autoencoder, "normal", id="Autoencoder"), pytest.param(CountVI, "counts", id="CountVI")]


def train(model, **arguments):
    model.train(**({"max_epochs": 3, "enable_progress_bar": False} | arguments))
    return model


def diet(model_class, kind, **network):
    adata = simulated.make_cells(kind)
    scgauge.pp.gene_embedding(adata, n_dims=4, rng=0)
    scvi.settings.seed = 0
    model_class.setup_anndata(adata)
    return train(model_class(adata, n_latent=2, n_hidden=8, gene_embedding_key="gene_embedding", **network))


def first(model):
    encoder = model.module.z_encoder
    return encoder.linears[0] if isinstance(model, Autoencoder) else encoder.layers.linears[0].linear


def test_the_layer_is_a_linear_layer_with_predicted_weights():
    embedding = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    layer = PredictedLinear(embedding, 7, n_further=2)
    assert layer.weight.shape == (7, 32)
    scaled = (embedding - embedding.mean(0)) / embedding.std(0, unbiased=False)
    torch.testing.assert_close(layer.weight[:, :30].t(), layer.predict(scaled))
    # the spread of torch's own initialisation, a uniform law on +-32^-0.5
    assert float(layer.weight[:, :30].std().detach()) == pytest.approx(32**-0.5 / 3**0.5, rel=0.3)
    x = torch.randn(4, 32)
    torch.testing.assert_close(layer(x), x @ layer.weight.t() + layer.bias)


@pytest.mark.parametrize(("model_class", "kind"), CASES)
def test_parameters_do_not_grow_with_the_genes_and_learn(model_class, kind):
    model = diet(model_class, kind)
    layer = first(model)
    assert isinstance(layer, PredictedLinear)
    sizes = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
    assert all(20 not in shape for shape in sizes.values())
    scvi.settings.seed = 0
    fresh = model_class(model.adata, n_latent=2, n_hidden=8, gene_embedding_key="gene_embedding")
    assert not torch.equal(first(fresh).weight, layer.weight)


@pytest.mark.parametrize(("model_class", "kind"), CASES)
def test_genes_with_the_same_embedding_have_the_same_weights(model_class, kind):
    adata = simulated.make_cells(kind)
    adata.varm["mine"] = np.repeat(np.random.default_rng(0).normal(size=(10, 3)), 2, axis=0)
    model_class.setup_anndata(adata)
    weight = first(train(model_class(adata, n_latent=2, gene_embedding_key="mine"))).weight
    torch.testing.assert_close(weight[:, ::2], weight[:, 1::2])


@pytest.mark.parametrize(("model_class", "kind"), CASES)
def test_saved_models_come_back(model_class, kind, tmp_path):
    model = diet(model_class, kind)
    model.save(str(tmp_path / "model"))
    adata = simulated.make_cells(kind)  # without the embedding
    again = model_class.load(str(tmp_path / "model"), adata=adata)
    np.testing.assert_array_equal(again.get_latent_representation(), model.get_latent_representation())


def test_it_goes_with_covariates_ties_and_attributions():
    adata = simulated.make_cells("counts")
    scgauge.pp.gene_embedding(adata, n_dims=4, rng=0)
    CountVI.setup_anndata(adata, batch_key="batch", continuous_covariate_keys=["age"])
    model = train(CountVI(adata, n_latent=2, n_hidden=8, encode_covariates=True, gene_embedding_key="gene_embedding"))
    assert first(model).weight.shape == (8, 21)
    cells = adata[:60].copy()
    with torch.no_grad():
        model.module.z_encoder.mean.weight *= 10  # active dimensions
    scgauge.tl.attribute(cells, model, rng=0, progress=False)
    assert (cells.uns["ig"]["completeness"]["error"] < 0.01).all()
    tied = diet(Autoencoder, "normal", tied=True)
    torch.testing.assert_close(tied.module.decoder.weights()[-1], first(tied).weight.t())


@pytest.fixture
def labelled():
    adata = simulated.make_cells("normal")
    scgauge.pp.split(adata, rng=0)
    scgauge.pp.gene_embedding(adata, method="classes", labels_key="type", split_key="split")
    return adata


def test_embeddings_of_classes_read_training_cells_alone(labelled):
    seen = labelled.obs["split"] == "train"
    x, types = labelled.X[seen], labelled.obs["type"][seen].to_numpy()
    expected = [
        f(x[types == name]) for name in np.unique(types) for f in (lambda b: b.mean(0), lambda b: (b != 0).mean(0))
    ]
    np.testing.assert_allclose(labelled.varm["gene_embedding"], np.column_stack(expected), rtol=1e-6)
    changed = labelled.copy()
    changed.obs["type"] = np.where(seen, labelled.obs["type"], "alpha")
    scgauge.pp.gene_embedding(changed, method="classes", labels_key="type", split_key="split")
    np.testing.assert_array_equal(changed.varm["gene_embedding"], labelled.varm["gene_embedding"])


def test_labels_of_held_out_cells_cannot_leak(labelled):
    Autoencoder.setup_anndata(labelled)
    model = Autoencoder(labelled, n_latent=2, gene_embedding_key="gene_embedding")
    with pytest.raises(ValueError, match="random split would hold out"):
        train(model)
    seen = (labelled.obs["split"] == "train").to_numpy()
    inside, outside = np.flatnonzero(seen), np.flatnonzero(~seen)
    leaky = {"external_indexing": [inside[5:], np.r_[outside, inside[:5]]]}
    with pytest.raises(ValueError, match="labels of 5 held-out cells"):
        train(model, datasplitter_kwargs=leaky)
    train(model, datasplitter_kwargs={"external_indexing": [inside, outside]})
    assert model.is_trained
    train(model, train_size=1.0)


def test_a_saved_model_remembers_its_labels(labelled, tmp_path):
    Autoencoder.setup_anndata(labelled)
    model = train(Autoencoder(labelled, n_latent=2, gene_embedding_key="gene_embedding"), train_size=1.0)
    model.save(str(tmp_path / "model"), save_anndata=False)
    again = Autoencoder.load(str(tmp_path / "model"), adata=labelled)
    with pytest.raises(ValueError, match="random split would hold out"):
        train(again)


def test_random_projections_keep_products():
    adata = simulated.make_cells("normal", n_obs=300)
    scgauge.pp.gene_embedding(adata, n_dims=4000, rng=0)
    e = adata.varm["gene_embedding"]
    exact = adata.X.T.astype(float) @ adata.X / 300
    # products of 4000 random numbers: relative errors of about 4000^-0.5
    np.testing.assert_allclose(e @ e.T / 4000, exact, atol=6 * np.abs(np.diag(exact)).max() / 4000**0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"gene_embedding_key": "nowhere"}, KeyError, "pp.gene_embedding"),
        ({"gene_embedding_key": "flat"}, ValueError, "differ between genes"),
        ({"sparsity": 1.0}, ValueError, "penalise activations"),
        ({"mask_key": "nowhere"}, ValueError, "mask_key does not go"),
    ],
)
def test_bad_arguments(labelled, arguments, error, match):
    labelled.varm["flat"] = np.ones((20, 2))
    Autoencoder.setup_anndata(labelled)
    with pytest.raises(error, match=match):
        Autoencoder(labelled, **{"gene_embedding_key": "gene_embedding"} | arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({"method": "pca"}, "method='pca'"), ({"n_dims": 0}, "n_dims=0"), ({"split_key": "type"}, "No cell has 'train'")],
)
def test_bad_embeddings(labelled, arguments, match):
    with pytest.raises(ValueError, match=match):
        scgauge.pp.gene_embedding(labelled, **arguments)
