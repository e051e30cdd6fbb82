import cells as simulated
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scipy.linalg import subspace_angles

import scgauge
from scgauge.model import Autoencoder


def fit(adata, *, epochs=3, seed=0, lr=1e-2, **network):
    adata = adata.copy()
    scvi.settings.seed = seed
    Autoencoder.setup_anndata(adata)
    model = Autoencoder(adata, **({"n_latent": 2, "n_hidden": 16} | network))
    model.train(max_epochs=epochs, enable_progress_bar=False, plan_kwargs={"lr": lr})
    return model


@pytest.fixture(scope="module")
def normal():
    return simulated.make_cells("normal", n_obs=200)


@pytest.fixture(scope="module")
def plain(normal):
    return fit(normal)


@pytest.mark.parametrize("kind", ["normal", "nb", "poisson", "bernoulli"])
def test_every_likelihood_learns_and_draws_cells(kind):
    model = fit(simulated.make_cells(kind), epochs=10, gene_likelihood=kind)
    loss = model.history["reconstruction_loss_train"].iloc[:, 0].astype(float)
    assert loss.iloc[-1] < loss.iloc[0]
    drawn = scgauge.tl.sample(model, 30, rng=0)
    values = drawn.X if kind == "normal" else drawn.X.toarray()
    if kind == "bernoulli":
        assert set(np.unique(values)) <= {0, 1}
    elif kind != "normal":
        np.testing.assert_array_equal(values, np.rint(values))
    twins = scgauge.tl.sample(model, source="posterior", rng=0)
    np.testing.assert_allclose(
        twins.obsm["X_latent"],
        model.get_latent_representation()[model.adata.obs_names.get_indexer(twins.obs["source_cell"])],
        rtol=1e-6,
    )


def test_squared_error_is_that_of_the_reconstruction(plain, normal):
    expected = np.square(normal.X - plain.get_reconstruction()).sum(1)
    np.testing.assert_allclose(plain.get_reconstruction_error(per_cell=True), expected, rtol=1e-5)
    held_out = plain.get_held_out_error()
    assert held_out["n_train"] + held_out["n_held_out"] == normal.n_obs
    np.testing.assert_allclose(held_out["train"], expected[plain.train_indices_].mean(), rtol=1e-5)
    np.testing.assert_allclose(held_out["held_out"], expected[plain.validation_indices_].mean(), rtol=1e-5)


def test_likelihood_error_is_that_of_scipy():
    from scipy.stats import poisson

    adata = simulated.make_cells("counts")
    model = fit(adata, gene_likelihood="poisson")
    expected = -poisson.logpmf(adata.X.toarray(), model.get_reconstruction()).sum(1)
    np.testing.assert_allclose(model.get_reconstruction_error(per_cell=True), expected, rtol=1e-4)


def test_spread_of_samples_is_that_of_the_residuals(plain, normal):
    residuals = normal.X - plain.get_reconstruction()
    expected = np.sqrt(np.square(residuals[plain.train_indices_]).mean(0))
    np.testing.assert_allclose(plain.module.residual_sd.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("k", [2, 5, 9])
def test_linear_autoencoder_spans_the_space_of_pca(k, data_dir):
    adata = scgauge.datasets.tasic2016()
    adata.X = np.log1p(np.asarray(adata.X, dtype=np.float32))
    adata.obs = adata.obs[[]]
    eigenvalues, vectors = np.linalg.eigh(np.cov(adata.X.T.astype(float), bias=True))
    scvi.settings.seed = 0
    Autoencoder.setup_anndata(adata)
    model = Autoencoder(adata, n_latent=k, n_layers=0)
    model.train(max_epochs=45, train_size=1.0, enable_progress_bar=False, plan_kwargs={"lr": 0.03})
    angles = np.degrees(subspace_angles(model.module.get_loadings(), vectors[:, -k:]))
    assert angles.max() < 1
    dropped = eigenvalues[:-k].sum()
    # never below, by optimality; the excess is what minibatches leave
    assert 1 - 1e-5 < model.get_reconstruction_error() / dropped < 1.0005


def test_zeros_are_exact_and_grow_with_the_penalty(normal):
    shares = [fit(normal, epochs=15, sparsity=penalty).get_zero_share() for penalty in (0.0, 0.003, 0.03, 30.0)]
    assert shares[0] == 0
    assert shares[1] < shares[2] < shares[3]
    assert shares[3] == 1


def test_penalised_activations_shrink(normal):
    spread = [
        np.abs(fit(normal, epochs=15, sparsity=penalty, sparsity_target="activations").get_latent_representation())
        for penalty in (0.0, 5.0)
    ]
    assert spread[1].mean() < 0.7 * spread[0].mean()


@pytest.mark.parametrize("n_layers", [0, 1])
def test_contraction_shrinks_the_jacobian(normal, n_layers):
    norms = []
    for penalty in (0.0, 20.0):
        model = fit(normal, epochs=15, n_layers=n_layers, latent_activation="tanh", contractive=penalty)
        read = torch.from_numpy(normal.X[:20]) - model.module.input_mean
        jacobians = torch.func.vmap(torch.func.jacrev(model.module.z_encoder))(read)
        norms.append(float(jacobians.detach().square().sum((1, 2)).mean()))
    assert norms[1] < 0.5 * norms[0]


def test_the_penalty_of_the_loss_is_the_jacobian(normal):
    model = fit(normal, n_layers=0, latent_activation="sigmoid", contractive=1.0)
    read = torch.from_numpy(normal.X[:20])
    z, found = model.module.encode_with_jacobian(read)
    shifted = torch.func.vmap(torch.func.jacrev(model.module.z_encoder))(read - model.module.input_mean)
    torch.testing.assert_close(found, shifted.square().sum((1, 2)))
    assert z.shape == (20, 2)


def test_noise_is_added_in_training_alone(normal):
    model = fit(normal, noise="masking", noise_level=0.5)
    x = torch.from_numpy(normal.X)
    masked = model.module.corrupt(x)
    share = float((masked == 0).float().mean())
    assert share == pytest.approx(0.5, abs=5 * (0.25 / x.numel()) ** 0.5)
    assert ((masked == 0) | (masked == x)).all()
    np.testing.assert_array_equal(model.get_latent_representation(), model.get_latent_representation())
    noisy = fit(normal, noise="gaussian", noise_level=0.3).module.corrupt(x) - x
    assert float(noisy.std()) == pytest.approx(0.3, rel=0.05)


def test_tied_weights_are_those_of_the_encoder(normal):
    model = fit(normal, tied=True)
    encoder, decoder = model.module.z_encoder.weights(), model.module.decoder.weights()
    for one, other in zip(encoder, reversed(decoder), strict=True):
        assert torch.equal(one, other.t())


def test_gene_sets_read_their_genes_alone(normal):
    adata = normal.copy()
    sets = {"one": adata.var_names[:8], "two": adata.var_names[5:12]}
    scgauge.pp.gene_set_mask(adata, gene_sets=sets, min_genes=2)
    Autoencoder.setup_anndata(adata)
    model = Autoencoder(adata, n_latent=2, n_layers=0, mask_key="gene_sets", n_free_units=1)
    model.train(max_epochs=2, enable_progress_bar=False)
    weight = model.module.z_encoder.weights()[0].detach().numpy()
    mask = adata.varm["gene_sets"].to_numpy().T
    assert weight.shape == (3, 20)
    np.testing.assert_array_equal(weight[:2] != 0, mask)
    assert (weight[2] != 0).all()
    raw = model.module.z_encoder.linears[0].regression.linear.weight
    read = torch.from_numpy(normal.X)
    (gradient,) = torch.autograd.grad(model.module.z_encoder(read).square().sum(), raw)
    assert (gradient.numpy()[:2][~mask] == 0).all()


def test_interpolation_ends_at_the_cells(plain):
    first, last = plain.adata.obs_names[:2]
    path = plain.get_interpolation(first, last, n_steps=5)
    np.testing.assert_allclose(path.iloc[[0, -1]], plain.get_reconstruction(indices=[0, 1]), rtol=1e-4, atol=1e-5)
    z = plain.get_latent_representation(indices=[0, 1])
    np.testing.assert_allclose(path.iloc[2], plain.decode(z.mean(0, keepdims=True))[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plain.get_interpolation(z[0], z[1], n_steps=2), path.iloc[[0, -1]], atol=1e-6)


def test_density_is_that_of_the_latent_points(plain):
    density = plain.get_latent_density(n_components=1)
    z = plain.get_latent_representation(indices=plain.train_indices_)
    np.testing.assert_allclose(density.means[0], z.mean(0), rtol=1e-4, atol=1e-5)
    drawn = density.draw(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(z.T), rtol=0.1, atol=0.02 * np.var(z))
    assert plain.get_latent_density().bic == density.bic  # kept
    more = plain.get_latent_density(n_components=3)
    assert more.weights.shape == (3,)
    assert more.weights.sum() == pytest.approx(1)


def test_saved_models_come_back(plain, tmp_path):
    plain.get_latent_density(n_components=2)
    plain.save(str(tmp_path / "model"))
    again = Autoencoder.load(str(tmp_path / "model"), adata=plain.adata)
    np.testing.assert_array_equal(again.get_reconstruction(), plain.get_reconstruction())
    drawn = [scgauge.tl.sample(model, 10, rng=0).X for model in (plain, again)]
    np.testing.assert_array_equal(*drawn)


def test_attributions_are_complete(plain, normal):
    cells = normal[:5].copy()
    scgauge.tl.attribute(cells, plain, baseline=normal.X.mean(0), rng=0, progress=False)
    read = torch.from_numpy(np.vstack((normal.X[:5], normal.X.mean(0)))) - plain.module.input_mean
    z = plain.module.z_encoder(read).detach().numpy()
    np.testing.assert_allclose(cells.varm["ig_signed"].sum(0), (z[:5] - z[5]).mean(0), rtol=0.02, atol=1e-3)


def test_samples_go_through_the_scoreboard(plain, normal):
    drawn = scgauge.tl.sample(plain, 120, rng=0)
    real = normal[plain.train_indices_]
    scgauge.tl.synthetic_quality(real, drawn, holdout=normal[plain.validation_indices_], n_splits=2, rng=0)
    table = drawn.uns["synthetic_quality"]["scores"].set_index(["property", "statistic"])
    assert np.isfinite(table["value"]).all()


def test_loadings_of_a_linear_decoder(plain, normal):
    rng = np.random.default_rng(0)
    adata = normal.copy()
    adata.X = (rng.normal(size=(200, 2)) * [6, 4] @ rng.normal(size=(2, 20)) / 4).astype(np.float32)
    adata.X += rng.normal(size=adata.shape).astype(np.float32) / 4
    model = fit(adata, n_layers=0, n_latent=2, epochs=80, lr=0.03)
    scgauge.tl.loadings(adata, model, rotation="svd")
    _, _, exact = np.linalg.svd(adata.X - adata.X.mean(0), full_matrices=False)
    assert np.degrees(subspace_angles(adata.varm["loadings"], exact[:2].T)).max() < 3
    assert adata.uns["loadings"]["factors"]["explained"].iloc[0] > 0.4
    with pytest.raises(TypeError, match="not linear"):
        scgauge.tl.loadings(adata, plain)


def test_refitting(plain, normal):
    from scgauge.model._refit import refit

    again = refit(plain, normal[:100].copy(), seed=1)
    assert again.is_trained
    assert again.adata.n_obs == 100


def test_new_cells_are_encoded_and_checked(plain, normal):
    np.testing.assert_array_equal(
        plain.get_latent_representation(normal[5:10].copy()), plain.get_latent_representation(indices=range(5, 10))
    )
    with pytest.raises(ValueError, match="lack 1 of the 20 genes"):
        plain.get_latent_representation(normal[:, :19].copy())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_layers": -1}, "n_layers=-1"),
        ({"n_hidden": 0}, "n_hidden=0"),
        ({"n_hidden": [8, 0]}, "n_hidden"),
        ({"n_latent": 0}, "n_latent=0"),
        ({"n_probes": 0}, "n_probes=0"),
        ({"gene_likelihood": "zinb"}, "gene_likelihood='zinb'"),
        ({"gene_likelihood": "nb"}, "must hold counts"),
        ({"activation": "swish"}, "activation='swish'"),
        ({"noise": "salt"}, "noise='salt'"),
        ({"noise": "masking", "noise_level": 1.0}, "mask every entry"),
        ({"sparsity": -1.0}, "sparsity=-1.0"),
        ({"sparsity_target": "bias"}, "sparsity_target='bias'"),
        ({"contractive": float("nan")}, "contractive=nan"),
        ({"mask_key": pd.DataFrame({"a": [True]}, index=["gene_0"])}, "mask lacks 19"),
    ],
)
def test_bad_arguments(normal, arguments, match):
    adata = normal.copy()
    Autoencoder.setup_anndata(adata)
    with pytest.raises(ValueError, match=match):
        Autoencoder(adata, **arguments)


def test_bad_calls(plain):
    with pytest.raises(ValueError, match="shape"):
        plain.decode(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="n_steps=1"):
        plain.get_interpolation("cell_0", "cell_1", n_steps=1)
    with pytest.raises(ValueError, match="latent point has the shape"):
        plain.get_interpolation(np.zeros(5), "cell_1")
    with pytest.raises(KeyError, match="nobody"):
        plain.get_interpolation("nobody", "cell_1")
    with pytest.raises(ValueError, match="n_components=0"):
        plain.get_latent_density(n_components=0)
