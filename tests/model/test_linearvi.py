"""LinearVI: what its mixins promise for every likelihood, loadings and what may be done to them."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from cells import LIKELIHOODS, NETWORK, SETUP, fit, make_cells, train_quietly
from oracles.linear_scvi_weights import copy_linear_weights
from scipy.linalg import subspace_angles

import scgauge
from scgauge.metrics import match_loadings
from scgauge.model import LinearVI

pytestmark = pytest.mark.quick


@pytest.fixture(params=LIKELIHOODS, scope="module")
def model(request) -> LinearVI:
    return fit(LinearVI, make_cells(request.param), gene_likelihood=request.param)


@pytest.fixture(scope="module")
def planted() -> tuple[AnnData, LinearVI]:
    """Cells with planted sparse loadings and a model that was trained long enough to find them."""
    adata = scgauge.datasets.simulate_counts(600, 60, n_latent=3, n_groups=3, rng=0)
    return adata, train_planted(adata)


def train_planted(adata, *, setup=None, epochs=45, **arguments):
    scvi.settings.seed = 0
    LinearVI.setup_anndata(adata, **(setup or {}))
    model = LinearVI(adata, n_latent=adata.varm["loadings"].shape[1], **arguments)
    return train_quietly(model, max_epochs=epochs, train_size=1.0, plan_kwargs={"lr": 1e-2})


def _reconstruction(model, rotation, order):
    loadings = model.get_loadings(rotation=rotation, order=order, centered=False).to_numpy()
    return model.get_latent_representation(rotation=rotation, order=order) @ loadings.T


@pytest.mark.parametrize("rotation", [None, "varimax", "svd"])
@pytest.mark.parametrize("order", ["explained", None])
def test_rotation_and_order_leave_the_reconstruction_as_it_is(model, rotation, order):
    expected = model.get_latent_representation() @ model.module.get_loadings().T
    np.testing.assert_allclose(_reconstruction(model, rotation, order), expected, atol=1e-5)


@pytest.mark.parametrize("rotation", ["varimax", "svd"])
def test_rotated_factors_are_standardised(model, rotation):
    mean, variance = model.get_latent_representation(model.adata[model.train_indices].copy(), return_dist=True)
    covariance = np.cov(mean.T, bias=True) + np.diag(variance.mean(0))
    turn = model.get_rotation(rotation=rotation).to_numpy()
    np.testing.assert_allclose(turn.T @ covariance @ turn, np.eye(3), atol=1e-4)


def test_svd_is_that_of_the_decoded_log_expression(planted):
    """Loadings equal those of a plain SVD of cells x genes, where posterior variances are small."""
    _, model = planted
    z = model.get_latent_representation().astype(float)
    loadings = model.get_loadings(order=None).to_numpy()
    right = np.linalg.svd((z - z.mean(0)) @ loadings.T, full_matrices=False)[2][:3].T
    found = model.get_loadings(rotation="svd", order=None).to_numpy()
    cosine = np.abs((found / np.linalg.norm(found, axis=0) * right).sum(0))
    assert cosine.min() > 0.999
    gram = found.T @ found
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8 * gram.max())


def test_raw_loadings_are_those_of_the_module(model):
    raw = model.get_loadings(centered=False, order=None)
    np.testing.assert_allclose(raw.to_numpy(), model.module.get_loadings())
    assert list(raw.columns) == ["Z_0", "Z_1", "Z_2"]
    assert list(raw.index) == list(model.adata.var_names)


def test_a_constant_is_centred_only_where_it_is_free(model):
    loadings = model.get_loadings(order=None).to_numpy()
    free = model.module.gene_likelihood in {"nb", "zinb", "poisson"}
    assert (np.abs(loadings.mean(0)).max() < 1e-7) == free


def test_what_scvi_tools_offers_works(model):
    assert np.isfinite(float(model.get_elbo()))
    assert np.isfinite(model.get_marginal_ll(n_mc_samples=3))
    assert np.isfinite(model.get_normalized_expression(transform_batch="b1").to_numpy()).all()
    table = model.differential_expression(groupby="type", group1="alpha", mode="change", silent=True)
    assert len(table) == 20
    assert set(model.get_likelihood_parameters()) >= {"mean"}
    assert np.isfinite(model.get_latent_prior_gap(n_samples=50)["kl"])
    synthetic = scgauge.tl.sample(model, 7, rng=0, progress=False)
    assert synthetic.shape == (7, 20)


def test_variances_of_rotated_latents_are_those_of_draws(model):
    mean, variance = model.get_latent_representation(return_dist=True)
    turned_mean, turned_variance = model.get_latent_representation(rotation="svd", return_dist=True)
    turn = model.get_rotation(rotation="svd", order=None).to_numpy()
    np.testing.assert_allclose(turned_mean, mean @ turn, rtol=1e-4, atol=1e-5)
    cell = 3
    expected = np.diag(turn.T @ np.diag(variance[cell]) @ turn)
    np.testing.assert_allclose(turned_variance[cell], expected, rtol=1e-5)


def test_covariates_have_loadings_too(model):
    batch = model.get_covariate_loadings()
    assert list(batch.columns) == ["b1", "b2"]
    np.testing.assert_allclose(batch.sum(axis=1), 0, atol=1e-6)
    assert model.get_covariate_loadings("donor").shape == (20, 3)
    assert model.get_covariate_loadings("age").shape == (20, 1)
    with pytest.raises(KeyError, match="was set up with"):
        model.get_covariate_loadings("type")


def test_trained_linear_scvi_has_the_same_loadings_and_elbo():
    adata = make_cells()
    theirs = scvi.model.LinearSCVI
    scvi.settings.seed = 0
    theirs.setup_anndata(adata, batch_key="batch")
    reference = train_quietly(theirs(adata, n_latent=3, n_hidden=16, use_observed_lib_size=True), max_epochs=5)
    again = make_cells()
    LinearVI.setup_anndata(again, batch_key="batch")
    ours = LinearVI(again, n_latent=3, n_hidden=16, use_batch_norm="both", intercept=False)
    copy_linear_weights(reference.module, ours.module)
    ours.module.eval()
    ours.is_trained_ = True
    pd.testing.assert_frame_equal(
        ours.get_loadings(centered=False, order=None), reference.get_loadings(), check_dtype=False, rtol=1e-6
    )
    values = []
    for model in (reference, ours):
        torch.random.default_generator.manual_seed(0)
        values.append(float(model.get_elbo()))
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def test_planted_loadings_are_found(planted):
    adata, model = planted
    truth = adata.varm["loadings"]
    found = model.get_loadings(rotation="varimax").to_numpy()
    assert np.degrees(subspace_angles(truth, found)).max() < 10
    correlation = match_loadings(truth, found).correlation
    assert np.median(np.abs(correlation)) > 0.95
    unrotated = match_loadings(truth, model.get_loadings().to_numpy()).correlation
    assert np.median(np.abs(unrotated)) < np.median(np.abs(correlation))


def test_factors_are_ordered_by_what_they_explain_and_point_up(planted):
    _, model = planted
    loadings = model.get_loadings(rotation="varimax")
    shares = model.get_explained_deviance(rotation="varimax")
    assert list(loadings.columns) == list(shares.index)
    assert (np.diff(shares) <= 0).all()
    assert ((loadings**3).sum() > 0).all()
    # Nearly orthogonal factors of nearly independent latents: each explains its part.
    assert shares.sum() == pytest.approx(1, abs=0.35)
    assert shares.min() > 0.05


def test_explained_deviance_equals_a_direct_computation(planted):
    adata, model = planted
    from scipy.stats import nbinom

    z = model.get_latent_representation().astype(float)
    theta = model.module.px_r.exp().detach().numpy().astype(float)
    library = np.asarray(adata.X.sum(1)).ravel()
    x = adata.X.toarray()

    def log_likelihood(points):
        mean = model.decode(points, library_size=library)
        return nbinom.logpmf(x, theta, theta / (theta + mean)).sum()

    full, null = log_likelihood(z), log_likelihood(np.tile(z.mean(0), (len(z), 1)))
    held = z.copy()
    held[:, 1] = z[:, 1].mean()
    expected = (full - log_likelihood(held)) / (full - null)
    assert model.get_explained_deviance()["Z_1"] == pytest.approx(expected, rel=1e-4)


def test_batch_effects_go_to_the_batch_if_it_is_named():
    adata = scgauge.datasets.simulate_counts(800, 100, n_latent=3, n_groups=3, n_batches=2, rng=1, batch_effect=1.0)
    truth = adata.varm["loadings"]
    angles = {}
    for key in (None, "batch"):
        model = train_planted(adata.copy(), setup={"batch_key": key}, epochs=40)
        angles[key] = np.degrees(subspace_angles(truth, model.get_loadings().to_numpy())).max()
    assert angles["batch"] < 10
    assert angles[None] > 30  # a factor is lost to the batch
    effects = model.get_covariate_loadings().to_numpy()
    planted = adata.varm["batch_effects"][:, 1]
    assert np.corrcoef(effects[:, 1] - effects[:, 0], planted)[0, 1] > 0.95


def test_save_load_minify(tmp_path):
    adata = make_cells()
    model = fit(LinearVI, adata, use_batch_norm="both", gene_likelihood="zinb", dispersion="gene-cell")
    model.save(tmp_path / "model")
    loaded = LinearVI.load(tmp_path / "model", adata=adata.copy())
    pd.testing.assert_frame_equal(loaded.get_loadings(), model.get_loadings())
    latent, variance = model.get_latent_representation(return_dist=True)
    before = model.get_loadings(order=None)
    adata.obsm["X_latent_qzm"], adata.obsm["X_latent_qzv"] = latent, variance
    model.minify_adata()
    np.testing.assert_array_equal(model.get_latent_representation(), latent)
    pd.testing.assert_frame_equal(model.get_loadings(order=None), before)
    with pytest.raises(ValueError, match="Pass order=None"):
        model.get_loadings()


@pytest.mark.parametrize("use_batch_norm", ["encoder", "both"])
@pytest.mark.parametrize("gene_likelihood", LIKELIHOODS)
def test_query_mapping_leaves_the_reference_exactly_as_it_was(gene_likelihood, use_batch_norm):
    setup = SETUP | {"categorical_covariate_keys": ["donor"]}
    model = fit(
        LinearVI, make_cells(gene_likelihood), setup=setup, gene_likelihood=gene_likelihood,
        use_batch_norm=use_batch_norm,
    )  # fmt: skip
    query = make_cells(gene_likelihood, seed=1)
    query.obs["batch"] = "b3"
    mapped = LinearVI.load_query_data(query, model)
    before = {name: value.clone() for name, value in mapped.module.state_dict().items()}
    train_quietly(mapped, max_epochs=2)
    changed = {name for name, value in mapped.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("effects" in name for name in changed)
    again = make_cells(gene_likelihood)
    np.testing.assert_array_equal(mapped.get_latent_representation(again), model.get_latent_representation())
    np.testing.assert_array_equal(mapped.module.get_loadings(), model.module.get_loadings())


def test_query_of_a_reference_with_one_batch():
    reference = make_cells()
    reference.obs["batch"] = "b1"
    model = fit(LinearVI, reference, setup={"batch_key": "batch"})
    query = make_cells(seed=1)
    query.obs["batch"] = "b2"
    mapped = train_quietly(LinearVI.load_query_data(query, model), max_epochs=2)
    effects = mapped.module.decoder.scale.effects(0).numpy()
    assert not effects[:, 0].any()
    assert effects[:, 1].any()


def test_deferred_model_with_a_latent_library_learns_its_prior():
    scvi.settings.seed = 0
    adata = make_cells()
    LinearVI.setup_anndata(adata, **SETUP)
    registry = LinearVI(adata, **NETWORK).registry
    model = LinearVI(registry=registry, use_observed_lib_size=False, **NETWORK)
    splitter = LinearVI._data_splitter_cls(LinearVI._get_most_recent_anndata_manager(adata), train_size=0.9)
    train_quietly(model, datamodule=splitter)
    log_library = np.log(np.asarray(adata.X.sum(1))).ravel()
    found = model.module.library_log_means.numpy().ravel()
    expected = [log_library[adata.obs["batch"] == name].mean() for name in ("b1", "b2")]
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert model.get_loadings(order=None).shape == (20, 3)


def test_size_factors():
    model = fit(LinearVI, make_cells(), setup={"size_factor_key": "size_factor"})
    z = model.get_latent_representation()[:1]
    np.testing.assert_allclose(model.decode(z, library_size=3.0), 3 * model.decode(z, library_size=1.0), rtol=1e-5)
    # The intercepts start at the mean of the genes.
    fresh = LinearVI(model.adata, **NETWORK)
    expected = np.asarray(model.adata.X.mean(0)).ravel() / model.adata.obs["size_factor"].mean()
    bias = fresh.module.decoder.scale.regression.linear.bias
    np.testing.assert_allclose(torch.nn.functional.softplus(bias).detach().numpy(), expected, rtol=0.02)


def mask_of(adata) -> pd.DataFrame:
    values = np.zeros((adata.n_vars, 2), dtype=bool)
    values[:8, 0] = values[6:15, 1] = True
    return pd.DataFrame(values, index=adata.var_names, columns=["first", "second"])


@pytest.mark.parametrize("options", [{}, {"non_negative": True}, {"use_batch_norm": "both"}], ids=str)
def test_masked_factors_are_named_programs(options, tmp_path):
    adata = make_cells()
    adata.varm["sets"] = mask_of(adata)
    model = fit(LinearVI, adata, mask_key="sets", n_free_factors=2, **options)
    assert model.factor_names == ["first", "second", "free_0", "free_1"]
    loadings = model.get_loadings()
    outside = ~mask_of(adata)
    assert (loadings[["first", "second"]].to_numpy()[outside.to_numpy()] == 0).all()
    assert (loadings["free_0"] != 0).mean() > 0.3
    with pytest.raises(ValueError, match="which a rotation would mix"):
        model.get_loadings(rotation="varimax")
    model.save(tmp_path / "model")
    bare = make_cells()  # without the mask
    loaded = LinearVI.load(tmp_path / "model", adata=bare)
    assert loaded.factor_names == model.factor_names
    np.testing.assert_array_equal(loaded.module.get_loadings(), model.module.get_loadings())
    query = make_cells(seed=1)
    query.obs["batch"] = "b3"
    mapped = train_quietly(LinearVI.load_query_data(query, model), max_epochs=1)
    np.testing.assert_array_equal(mapped.module.get_loadings(), model.module.get_loadings())


def test_a_masked_program_finds_its_factor(planted):
    adata, _ = planted
    adata = adata.copy()
    truth = adata.varm["loadings"]
    owner = np.abs(truth - np.median(truth, axis=0)).argmax(1)
    adata.varm["sets"] = pd.DataFrame({f"factor {k}": owner == k for k in range(3)}, index=adata.var_names)
    scvi.settings.seed = 0
    LinearVI.setup_anndata(adata)
    model = train_quietly(
        LinearVI(adata, mask_key="sets", n_free_factors=0), max_epochs=30, train_size=1.0, plan_kwargs={"lr": 1e-2}
    )
    latent = model.get_latent_representation()
    for k in range(3):
        r = np.corrcoef(latent[:, k], adata.obsm["latent"][:, k])[0, 1]
        assert abs(r) > 0.9


@pytest.mark.parametrize(
    ("network", "error", "match"),
    [
        ({"use_layer_norm": "decoder"}, ValueError, "would not be linear"),
        ({"l1": -1.0}, ValueError, "l1=-1.0"),
        ({"l1": 0.1, "use_batch_norm": "both"}, ValueError, "rescales the loadings"),
        ({"non_negative": True, "use_batch_norm": "decoder"}, ValueError, "rescales the loadings"),
        ({"mask_key": "nowhere"}, KeyError, "gene_set_mask"),
        ({"mask_key": "empty"}, ValueError, "1 gene sets have no gene"),
        ({"mask_key": "numbers"}, ValueError, "must hold booleans"),
        ({"mask_key": "good", "n_free_factors": -1}, ValueError, "n_free_factors=-1"),
        ({"n_latent": 0}, ValueError, "n_latent=0"),
    ],
)
def test_bad_arguments(network, error, match):
    adata = make_cells()
    good = mask_of(adata)
    adata.varm["good"] = good
    adata.varm["empty"] = good.assign(second=False)
    adata.varm["numbers"] = good.assign(second=0.5)
    LinearVI.setup_anndata(adata)
    with pytest.raises(error, match=match):
        LinearVI(adata, **network)


def test_a_mask_without_all_genes():
    adata = make_cells()
    LinearVI.setup_anndata(adata)
    with pytest.raises(ValueError, match="lacks 1 of the 20 genes"):
        LinearVI(adata, mask_key=mask_of(adata).iloc[1:])


def test_unknown_rotation_and_order(planted):
    _, model = planted
    with pytest.raises(ValueError, match="rotation='promax'"):
        model.get_loadings(rotation="promax")
    with pytest.raises(ValueError, match="order='name'"):
        model.get_loadings(order="name")
