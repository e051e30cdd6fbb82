"""CountVI with every likelihood: what scvi-tools' mixins promise, saving, minification, query mapping."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cells import LIKELIHOODS, NETWORK, SETUP, fit, make_cells, train_quietly
from oracles.scvi_weights import copy_weights

from scgauge.model import CountVI

pytestmark = pytest.mark.quick

COUNTS = ["zinb", "nb", "poisson"]


@pytest.fixture(params=LIKELIHOODS)
def gene_likelihood(request) -> str:
    return request.param


@pytest.fixture
def model(gene_likelihood) -> CountVI:
    return fit(CountVI, make_cells(gene_likelihood), gene_likelihood=gene_likelihood)


def test_latent_elbo_and_likelihoods_are_finite_and_consistent(model):
    latent, variance = model.get_latent_representation(return_dist=True)
    assert latent.shape == variance.shape == (120, 3)
    assert np.isfinite(latent).all()
    assert (variance > 0).all()
    elbo = float(model.get_elbo())
    bound = model.get_marginal_ll(n_mc_samples=100)
    # The importance-weighted bound is tighter than the ELBO; 120 cells leave no doubt about the sign.
    assert elbo < bound < 0 or model.module.gene_likelihood == "normal"
    assert elbo < bound
    error = float(model.get_reconstruction_error()["reconstruction_loss"])
    assert error < -elbo + 0.5  # the ELBO adds a divergence, which is not negative; half a nat is Monte-Carlo error


def test_mean_marginal_likelihood_weighs_cells_equally(model):
    torch.random.default_generator.manual_seed(0)
    values = model.get_marginal_ll(n_mc_samples=5, return_mean=False, batch_size=100)
    torch.random.default_generator.manual_seed(0)
    mean = model.get_marginal_ll(n_mc_samples=5, batch_size=100)
    assert mean == pytest.approx(float(values.mean()), rel=1e-6)


def test_normalized_expression(model, gene_likelihood):
    expression = model.get_normalized_expression(transform_batch="b1")
    assert isinstance(expression, pd.DataFrame)
    assert list(expression.columns) == list(model.adata.var_names)
    if gene_likelihood in COUNTS:
        np.testing.assert_allclose(expression.to_numpy().sum(1), 1, rtol=1e-5)
    elif gene_likelihood == "bernoulli":
        assert expression.to_numpy().min() >= 0
        assert expression.to_numpy().max() <= 1
    else:
        assert expression.to_numpy().min() < 0
    several = model.get_normalized_expression(n_samples=4, return_mean=False, return_numpy=True)
    assert several.shape == (4, 120, 20)


@pytest.mark.parametrize("gene_likelihood", ["bernoulli", "normal"], indirect=True)
def test_library_size_is_refused_where_there_is_none(model):
    with pytest.raises(ValueError, match="has no library. Leave it out"):
        model.get_normalized_expression(library_size=1e4)


def test_differential_expression_finds_planted_genes(gene_likelihood):
    adata = make_cells(gene_likelihood, n_obs=300)
    rng = np.random.default_rng(1)
    group = rng.choice(["one", "two"], 300)
    x = adata.X.toarray() if gene_likelihood != "normal" else adata.X.copy()
    planted = [3, 7]
    if gene_likelihood == "bernoulli":
        x[:, planted] = rng.random((300, 2)) < np.where(group == "one", 0.9, 0.1)[:, None]
    elif gene_likelihood == "normal":
        x[:, planted] += np.where(group == "one", 2.0, 0.0)[:, None]
    else:
        x[:, planted] = rng.poisson(np.where(group == "one", 20.0, 2.0)[:, None], (300, 2))
    adata.X, adata.obs["group"] = x.astype(np.float32), group
    scvi.settings.seed = 0
    CountVI.setup_anndata(adata)
    model = CountVI(adata, gene_likelihood=gene_likelihood, **NETWORK)
    train_quietly(model, max_epochs=60, batch_size=32, plan_kwargs={"lr": 1e-2})
    table = model.differential_expression(groupby="group", group1="one", group2="two", mode="change", silent=True)
    assert len(table) == 20
    effect = "lfc_mean" if gene_likelihood in COUNTS else "difference_mean"
    assert set(table[effect].nlargest(2).index) == {"gene_3", "gene_7"}
    # Cells of one group differ too: the probability is that of a change between two cells, not between two means.
    assert (table.loc[["gene_3", "gene_7"], "proba_de"] > 0.75).all()
    raw = [x[group == name].mean(0) for name in ("one", "two")]
    np.testing.assert_allclose(table.loc[adata.var_names, "raw_mean1"], raw[0], rtol=1e-5)
    np.testing.assert_allclose(table.loc[adata.var_names, "raw_mean2"], raw[1], rtol=1e-5)


@pytest.mark.parametrize("gene_likelihood", ["bernoulli", "normal"], indirect=True)
def test_vanilla_mode_is_refused_without_counts(model):
    with pytest.raises(ValueError, match="Use mode='change'"):
        model.differential_expression(groupby="type", mode="vanilla")


def test_posterior_predictive_samples_have_the_kind_of_the_data(model, gene_likelihood):
    samples = model.posterior_predictive_sample(n_samples=3).todense()
    assert samples.shape == (120, 20, 3)
    if gene_likelihood == "bernoulli":
        assert set(np.unique(samples)) <= {0.0, 1.0}
    elif gene_likelihood != "normal":
        np.testing.assert_array_equal(samples, np.rint(samples))
        assert samples.min() >= 0


def test_likelihood_parameters(model, gene_likelihood):
    parameters = model.get_likelihood_parameters(n_samples=2)
    expected = {"mean"}
    expected |= {"dispersions"} if gene_likelihood in {"zinb", "nb", "normal"} else set()
    expected |= {"dropout"} if gene_likelihood == "zinb" else set()
    assert set(parameters) == expected
    assert all(value.shape == (2, 120, 20) for value in parameters.values())
    mean = model.get_likelihood_parameters(n_samples=2, give_mean=True)["mean"]
    assert mean.shape == (120, 20)


@pytest.mark.parametrize("correlation_type", ["pearson", "spearman"])
def test_feature_correlation_matrix(model, correlation_type):
    matrix = model.get_feature_correlation_matrix(n_samples=2, correlation_type=correlation_type)
    assert matrix.shape == (20, 20)
    np.testing.assert_allclose(np.diag(matrix), 1, rtol=1e-6)


def test_decode_equals_normalized_expression_times_library(model, gene_likelihood):
    cell = 5
    row = model.adata.obs.iloc[cell]
    z = model.get_latent_representation()[[cell]]
    decoded = model.decode(
        z, library_size=200.0, batch=row["batch"], covariates={"donor": row["donor"], "age": row["age"]}
    )
    # The mean of the posterior is a point, the getter draws: fix the draw at its mean.
    tensors = next(iter(model._make_data_loader(adata=model.adata, indices=[cell])))
    inputs = model.module._get_generative_input(
        tensors, {"z": torch.tensor(z), "library": torch.tensor([[np.log(200.0)]])}
    )
    with torch.no_grad():
        expected = model.module.generative(**inputs)["px"].get_normalized("mu").numpy()
    np.testing.assert_allclose(decoded, expected, rtol=1e-5)
    if gene_likelihood in {"nb", "poisson"}:
        np.testing.assert_allclose(decoded.sum(), 200, rtol=1e-5)


def test_save_and_load_with_other_than_default_arguments(gene_likelihood, tmp_path):
    adata = make_cells(gene_likelihood)
    others = {"n_layers": 2, "dropout_rate": 0.2, "dispersion": "gene-batch", "encode_covariates": True}
    others |= {"use_batch_norm": "encoder", "use_layer_norm": "decoder", "deeply_inject_covariates": False}
    model = fit(CountVI, adata, gene_likelihood=gene_likelihood, **others)
    model.save(tmp_path / "model")
    loaded = CountVI.load(tmp_path / "model", adata=adata.copy())
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    assert loaded.init_params_ == model.init_params_
    assert str(loaded.module) == str(model.module)


def test_minified_model_keeps_its_latents_and_decodes(model, tmp_path):
    latent, variance = model.get_latent_representation(return_dist=True)
    model.adata.obsm["X_latent_qzm"], model.adata.obsm["X_latent_qzv"] = latent, variance
    model.minify_adata()
    assert model.adata.X.sum() == 0
    np.testing.assert_array_equal(model.get_latent_representation(), latent)
    assert np.isfinite(model.get_normalized_expression().to_numpy()).all()
    with pytest.raises(ValueError, match="minified"):
        model.get_elbo()
    model.save(tmp_path / "model", save_anndata=True)
    loaded = CountVI.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.get_latent_representation(), latent)


@pytest.mark.parametrize("encode_covariates", [False, True])
def test_query_mapping_leaves_the_reference_exactly_as_it_was(gene_likelihood, encode_covariates):
    reference = make_cells(gene_likelihood)
    model = fit(
        CountVI,
        reference,
        gene_likelihood=gene_likelihood,
        dispersion="gene-batch",
        encode_covariates=encode_covariates,
    )
    query = make_cells(gene_likelihood, seed=1)
    query.obs["batch"], query.obs["donor"] = "b3", np.where(np.arange(120) % 2, "d4", "d1")
    mapped = CountVI.load_query_data(query, model)
    before = {name: value.clone() for name, value in mapped.module.state_dict().items()}
    train_quietly(mapped, max_epochs=2)
    changed = {name for name, value in mapped.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("effects" in name or name == "px_r" for name in changed)
    # Cells of the reference, seen through the query's model.
    again = make_cells(gene_likelihood)
    np.testing.assert_array_equal(mapped.get_latent_representation(again), model.get_latent_representation())
    arguments = {"library_size": 50.0, "batch": "b1", "covariates": {"donor": "d2", "age": 0.3}}
    z = model.get_latent_representation()[:4]
    np.testing.assert_array_equal(mapped.decode(z, **arguments), model.decode(z, **arguments))
    assert mapped.get_latent_representation(query).shape == (120, 3)


def test_query_of_a_reference_without_batches_and_from_a_file(tmp_path):
    model = fit(CountVI, make_cells(), setup={"batch_key": "donor"})
    model.save(tmp_path / "model")
    query = make_cells(seed=2)
    query.obs["donor"] = "new"
    mapped = train_quietly(CountVI.load_query_data(query, str(tmp_path / "model")), max_epochs=1)
    assert mapped.get_latent_representation().shape == (120, 3)


def test_query_of_known_batches_needs_no_training():
    model = fit(CountVI, make_cells())
    mapped = CountVI.load_query_data(make_cells(seed=3), model)
    assert mapped.is_trained
    expected = model.get_latent_representation(make_cells(seed=3))
    np.testing.assert_array_equal(mapped.get_latent_representation(), expected)


def test_unfrozen_query_trains_everything():
    query = make_cells(seed=1)
    query.obs["batch"] = "b3"
    mapped = CountVI.load_query_data(query, fit(CountVI, make_cells()), unfrozen=True)
    assert all(parameter.requires_grad for parameter in mapped.module.parameters())


@pytest.mark.parametrize("gene_likelihood", COUNTS, indirect=True)
def test_latent_library(gene_likelihood):
    model = fit(CountVI, make_cells(), gene_likelihood=gene_likelihood, use_observed_lib_size=False, epochs=400)
    library = model.get_latent_library_size().ravel()
    observed = np.asarray(model.adata.X.sum(1)).ravel()
    assert np.corrcoef(np.log(library), np.log(observed))[0, 1] > 0.5
    assert np.isfinite(float(model.get_elbo()))


def test_size_factors_take_the_place_of_the_library():
    adata = make_cells()
    model = fit(CountVI, adata, setup={"size_factor_key": "size_factor"}, gene_likelihood="nb")
    z = model.get_latent_representation()[:1]
    np.testing.assert_allclose(model.decode(z, library_size=3.0), 3 * model.decode(z, library_size=1.0), rtol=1e-5)


def test_prior_gap_is_that_of_the_posterior(model):
    gap = model.get_latent_prior_gap(n_samples=200)
    mean, variance = model.get_latent_representation(return_dist=True)
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(1).mean()
    assert gap["mean_kl"] == pytest.approx(expected, rel=1e-5)
    assert -6 * gap["kl_se"] < gap["mutual_information"] < np.log(120) + 6 * gap["kl_se"]
    assert gap["n_cells"] == 120


def test_same_seed_same_model():
    one, two = (fit(CountVI, make_cells(), seed=7).get_latent_representation() for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = fit(CountVI, make_cells(), seed=8).get_latent_representation()
    assert not np.array_equal(one, other)


def test_deferred_model_trains_from_a_data_module_as_from_the_cells():
    scvi.settings.seed = 0
    adata = make_cells()
    CountVI.setup_anndata(adata, **SETUP)
    registry = CountVI(adata, **NETWORK).registry
    model = CountVI(registry=registry, gene_likelihood="nb", **NETWORK)
    manager = CountVI._get_most_recent_anndata_manager(adata)
    splitter = CountVI._data_splitter_cls(manager, train_size=0.9, batch_size=32)
    train_quietly(model, datamodule=splitter)
    assert model.history["kl_weight"].iloc[-1].item() == 1.0
    assert model.get_latent_representation(adata).shape == (120, 3)


@pytest.mark.parametrize("gene_likelihood", COUNTS, indirect=True)
def test_trains_as_scvi_tools_does_from_the_same_weights(gene_likelihood):
    losses, bounds = [], []
    split = [np.arange(100), np.arange(100, 120), np.array([], dtype=int)]
    scvi.settings.seed = 0
    models = []
    for model_class in (scvi.model.SCVI, CountVI):
        adata = make_cells()
        model_class.setup_anndata(adata, **SETUP)
        models.append(model_class(adata, gene_likelihood=gene_likelihood, **NETWORK))
    copy_weights(models[0].module, models[1].module)
    for model in models:
        scvi.settings.seed = 1
        train_quietly(
            model,
            max_epochs=10,
            batch_size=32,
            datasplitter_kwargs={"external_indexing": split},
            plan_kwargs={"n_epochs_kl_warmup": 4},
        )
        losses.append(model.history["train_loss"]["train_loss"].to_numpy(dtype=float))
        torch.random.default_generator.manual_seed(0)
        bounds.append(float(model.get_elbo(indices=split[1])))
    # Covariates are added in another order, and 40 steps carry the rounding on.
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-4)
