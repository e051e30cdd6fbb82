import numpy as np
import pytest
import scvi
from cells import LIKELIHOODS, NETWORK, fit, make_cells, train_quietly
from scipy import sparse, stats

from scgauge._core import adapter as adapter_file
from scgauge._core.adapter import adapt
from scgauge.model import CountVI
from scgauge.tl import sample

pytestmark = pytest.mark.quick

SOURCES = ["prior", "posterior", "aggregate"]


def _scvi_model(name: str):
    adata = make_cells()
    scvi.settings.seed = 0
    model_class = getattr(scvi.model, name)
    if name == "SCANVI":
        adata.obs["label"] = np.where(np.arange(120) < 90, adata.obs["type"], "unknown")
        model_class.setup_anndata(adata, labels_key="label", unlabeled_category="unknown", batch_key="batch")
    elif name == "LinearSCVI":
        model_class.setup_anndata(adata, batch_key="batch")
    else:
        model_class.setup_anndata(
            adata, batch_key="batch", categorical_covariate_keys=["donor"], continuous_covariate_keys=["age"]
        )
    return train_quietly(model_class(adata, **NETWORK))


@pytest.fixture(scope="module")
def models() -> dict:
    found = {name: fit(CountVI, make_cells(name), gene_likelihood=name) for name in LIKELIHOODS}
    found["latent library"] = fit(CountVI, make_cells(), gene_likelihood="nb", use_observed_lib_size=False)
    setup = {"size_factor_key": "size_factor", "batch_key": "batch"}
    found["size factor"] = fit(CountVI, make_cells(), setup=setup, gene_likelihood="nb")
    return found | {name: _scvi_model(name) for name in ("SCVI", "LinearSCVI", "SCANVI")}


ALL = [*LIKELIHOODS, "latent library", "size factor", "SCVI", "LinearSCVI", "SCANVI"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ALL)
def test_synthetic_cells_are_complete(models, name, source):
    model = models[name]
    synthetic = sample(model, 70, source=source, rng=0)
    assert synthetic.shape == (70, 20)
    assert list(synthetic.var_names) == list(model.adata.var_names)
    assert synthetic.obsm["X_latent"].shape == (70, 3)
    assert synthetic.uns["sample"]["params"]["source"] == source
    assert set(synthetic.obs["batch"]) <= {"b1", "b2"}
    assert not [column for column in synthetic.obs if column.startswith("_scvi")]
    assert ("source_cell" in synthetic.obs) == (source == "posterior")
    if name == "normal":
        assert isinstance(synthetic.X, np.ndarray)
        return
    assert sparse.issparse(synthetic.X)
    np.testing.assert_array_equal(synthetic.X.data, np.rint(synthetic.X.data))
    assert synthetic.X.data.min() > 0
    if name == "bernoulli":
        assert synthetic.X.data.max() == 1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_cells_and_the_global_state_is_left_alone(models, name, source):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (sample(models[name], 30, source=source, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(_dense(one), _dense(two))
    np.testing.assert_array_equal(one.obsm["X_latent"], two.obsm["X_latent"])
    assert not np.array_equal(_dense(one), _dense(other))


def _dense(adata) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else adata.X


@pytest.mark.parametrize("name", ["zinb", "poisson", "normal"])
def test_cells_do_not_depend_on_how_many_are_decoded_at_once(models, name, monkeypatch):
    expected = sample(models[name], 100, rng=3)
    monkeypatch.setattr(adapter_file, "CELLS_AT_ONCE", 7)
    monkeypatch.setattr("scgauge.tl._sample.CELLS_AT_ONCE", 7)
    found = sample(models[name], 100, rng=3)
    np.testing.assert_allclose(_dense(found), _dense(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_the_law_that_the_decoder_describes(models, name):
    model = models[name]
    n_draws = 4000
    cell = np.full(n_draws, 5)
    synthetic = sample(model, source="posterior", indices=cell, rng=0)
    x, adapter = _dense(synthetic), adapt(model)
    parameters = adapter.decode(synthetic.obsm["X_latent"], adapter.context(cell))
    mean = parameters["mean"] * (1 - parameters.get("dropout", 0))
    np.testing.assert_array_less(np.abs((x - mean).mean(0)), 5 * (x - mean).std(0) / np.sqrt(n_draws))
    if name == "normal":
        expected = parameters["dispersions"] ** 2
    elif name == "bernoulli":
        expected = mean * (1 - mean)
    else:
        mu, pi = parameters["mean"], parameters.get("dropout", 0)
        theta = parameters.get("dispersions", np.inf)
        expected = (1 - pi) * (mu + mu**2 / theta + pi * mu**2)
    squared = (x - mean) ** 2 - expected
    np.testing.assert_array_less(np.abs(squared.mean(0)), 5 * squared.std(0) / np.sqrt(n_draws))


def test_prior_points_are_standard_normal(models):
    z = sample(models["nb"], 5000, rng=0).obsm["X_latent"]
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3


def test_posterior_points_have_the_moments_of_the_encoder(models):
    model = models["nb"]
    z = sample(model, source="posterior", indices=np.full(5000, 8), rng=0).obsm["X_latent"]
    mean, variance = (part[8] for part in model.get_latent_representation(return_dist=True))
    np.testing.assert_array_less(np.abs(z.mean(0) - mean), 5 * np.sqrt(variance / 5000))
    np.testing.assert_allclose(z.var(0), variance, rtol=0.12)  # 5000 draws: 2 % standard error


def test_posterior_keeps_annotation_batch_and_library_of_each_cell(models):
    model = models["zinb"]
    cells = np.array([7, 3, 50])
    synthetic = sample(model, source="posterior", indices=cells, rng=0)
    real = model.adata[cells]
    assert list(synthetic.obs["source_cell"]) == ["cell_7", "cell_3", "cell_50"]
    for column in ("type", "batch", "donor", "age"):
        assert list(synthetic.obs[column]) == list(real.obs[column])
    np.testing.assert_allclose(synthetic.obs["library_size"], np.asarray(real.X.sum(1)).ravel())


def test_defaults_draw_as_many_cells_as_were_trained_on(models):
    model = models["zinb"]
    synthetic = sample(model, source="posterior", rng=0)
    assert set(synthetic.obs["source_cell"]) == set(model.adata.obs_names[model.train_indices])
    assert sample(model, rng=0).n_obs == len(model.train_indices)


def test_batches_of_the_prior_come_in_observed_proportions_with_their_covariates(models):
    model = models["zinb"]
    synthetic = sample(model, 4000, rng=0)
    training = model.adata[model.train_indices].obs
    for key in ("batch", "donor"):
        observed, expected = (
            frame[key].astype(str).value_counts(normalize=True) for frame in (synthetic.obs, training)
        )
        for name, share in expected.items():
            assert abs(observed[name] - share) < 5 * np.sqrt(share * (1 - share) / 4000)
    pairs = {tuple(row) for row in training[["batch", "donor", "age"]].to_numpy()}
    assert {tuple(row) for row in synthetic.obs[["batch", "donor", "age"]].to_numpy()} <= pairs


def test_libraries_are_drawn_from_the_batch(models):
    model = models["zinb"]
    synthetic = sample(model, 500, rng=0)
    training = model.adata[model.train_indices]
    for batch in ("b1", "b2"):
        observed = set(np.asarray(training[training.obs["batch"] == batch].X.sum(1)).ravel())
        assert set(synthetic.obs["library_size"][synthetic.obs["batch"] == batch]) <= observed


@pytest.mark.parametrize("source", SOURCES)
def test_batch_and_library_as_asked_for(models, source):
    synthetic = sample(models["nb"], 40, source=source, batch="b2", library=77.0, rng=0)
    assert set(synthetic.obs["batch"]) == {"b2"}
    assert set(synthetic.obs["library_size"]) == {77.0}
    names = np.where(np.arange(40) % 2, "b1", "b2")
    each = sample(models["nb"], 40, source=source, batch=names, library=np.arange(1.0, 41), rng=0)
    assert list(each.obs["batch"]) == list(names)
    assert list(each.obs["library_size"]) == list(np.arange(1.0, 41))


def test_expected_library_is_the_given_one(models):
    synthetic = sample(models["nb"], 3000, library=500.0, rng=0)
    total = np.asarray(synthetic.X.sum(1)).ravel()
    assert abs(total.mean() - 500) < 5 * total.std() / np.sqrt(3000)


def test_latent_library(models):
    model = models["latent library"]
    drawn = sample(model, 4000, library="latent", batch="b1", rng=0).obs["library_size"]
    mean, variance = (float(part[0]) for part in adapt(model).library_prior(np.array([0])))
    assert stats.kstest((np.log(drawn) - mean) / np.sqrt(variance), "norm").pvalue > 1e-3
    cell = np.full(4000, 3)
    paired = sample(model, source="posterior", indices=cell, rng=0).obs["library_size"]
    mean, variance = (float(part[0]) for part in adapt(model).encode_library(cell[:1]))
    assert stats.kstest((np.log(paired) - mean) / np.sqrt(variance), "norm").pvalue > 1e-3


def test_size_factors_are_named_so(models):
    synthetic = sample(models["size factor"], 30, rng=0)
    assert "library_size" not in synthetic.obs
    observed = set(models["size factor"].adata.obs["size_factor"].to_numpy(dtype=np.float64))
    assert set(synthetic.obs["size_factor"]) <= observed


def test_labels_steer_the_prior_of_scanvi(models):
    model = models["SCANVI"]
    asked = sample(model, 50, labels="beta/gamma", rng=0)
    assert set(asked.obs["label"]) == {"beta/gamma"}
    drawn = sample(model, 3000, rng=0).obs["label"]
    assert "unknown" not in set(drawn)
    labelled = model.adata.obs["label"].iloc[model.train_indices]
    share = (labelled[labelled != "unknown"] == "alpha").mean()
    # Labels of unlabelled cells are drawn in the proportions of labelled ones.
    assert abs((drawn == "alpha").mean() - share) < 5 * np.sqrt(share * (1 - share) / 3000)
    one, two = (sample(model, 400, labels=label, rng=0).obsm["X_latent"].mean(0) for label in ("alpha", "delta"))
    assert np.abs(one - two).max() > 0.01


@pytest.fixture(scope="module")
def labelled():
    setup = {"batch_key": "batch", "labels_key": "type", "categorical_covariate_keys": ["donor", "batch"]}
    adata = make_cells()
    return fit(
        CountVI, adata, setup=setup | {"continuous_covariate_keys": ["age", "size_factor"]}, gene_likelihood="nb"
    )


@pytest.mark.parametrize("source", ["posterior", "aggregate"])
def test_labels_choose_the_source_cells(labelled, source):
    types = labelled.adata.obs["type"]
    asked = sample(labelled, 30, source=source, labels="beta/gamma", rng=0)
    assert set(asked.obs["type"]) == {"beta/gamma"}
    if source == "posterior":
        assert set(types[asked.obs["source_cell"]]) == {"beta/gamma"}
        members = np.intersect1d(np.flatnonzero(types == "beta/gamma"), labelled.train_indices)
        assert sample(labelled, source=source, labels="beta/gamma", rng=0).n_obs == len(members)
    each = np.array(["alpha", "delta"] * 20)
    mixed = sample(labelled, source=source, labels=each, rng=0)
    assert mixed.obs["type"].tolist() == each.tolist()
    # Latent points lie with those of the cells of their label.
    means = labelled.get_latent_representation()
    many = sample(labelled, 4000, source=source, labels="alpha", rng=0).obsm["X_latent"].mean(0)
    cells = np.intersect1d(np.flatnonzero(types == "alpha"), labelled.train_indices)
    np.testing.assert_allclose(many, means[cells].mean(0), atol=0.12)


def test_covariates_as_asked_for(labelled):
    free = sample(labelled, 200, rng=0)
    held = sample(labelled, 200, covariates={"donor": "d2", "age": 1.5}, rng=0)
    assert set(held.obs["donor"]) == {"d2"}
    assert set(held.obs["age"]) == {1.5}
    # All else is as without: batches, further covariates, latent points.
    for column in ("batch", "size_factor"):
        assert held.obs[column].tolist() == free.obs[column].tolist()
    assert np.array_equal(held.obsm["X_latent"], free.obsm["X_latent"])
    assert (held.X != free.X).nnz > 0
    # The decoder reads what obs says.
    adapter = adapt(labelled)
    context = adapter.context(np.arange(3))
    assert context.cat_covs.shape == (3, 2)
    ages = np.linspace(-1, 1, 200)
    assert sample(labelled, 200, covariates={"age": ages}, rng=0).obs["age"].tolist() == ages.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"covariates": {"height": 1}}, r"'height' is not a covariate of the model; it has \['donor', 'batch', 'age'"),
        ({"covariates": {"donor": "d9"}}, "'d9' is not a known value of 'donor'"),
        ({"covariates": {"age": [1.0, 2.0]}}, "one for each of the 96 cells"),
        ({"covariates": {"age": np.nan}}, "one finite number"),
        ({"source": "aggregate", "labels": "omega"}, "'omega' is not a known label"),
        ({"source": "aggregate", "labels": "alpha", "indices": [2]}, "None of the 1 source cells"),
    ],
)
def test_bad_conditions(labelled, arguments, message):
    cell = int(np.flatnonzero(labelled.adata.obs["type"] != "alpha")[0])
    if "indices" in arguments:
        arguments = arguments | {"indices": [cell]}
    with pytest.raises(ValueError, match=message):
        sample(labelled, **({"n_obs": 96} | arguments))


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_synthetic_cells_survive_files(models, kind, tmp_path):
    import anndata

    synthetic = sample(models["zinb"], 10, source="posterior", rng=0)
    path = tmp_path / f"synthetic.{kind}"
    getattr(synthetic, f"write_{kind}")(path)
    again = getattr(anndata, f"read_{kind}")(path)
    assert again.uns["sample"]["params"]["model"] == "CountVI"
    assert again.uns["sample"]["params"]["rng"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "data"}, "source='data' was given; choose from"),
        ({"n_obs": 0}, "n_obs=0 was given"),
        ({"n_obs": 2.5}, "n_obs=2.5 was given"),
        ({"indices": [0, 999]}, "`indices` reach from 0 to 999; the model has the cells 0 to 119"),
        ({"indices": []}, "`indices` must be a non-empty list"),
        ({"batch": "b7"}, r"'b7' is not a known batch; choose from \['b1', 'b2'\]"),
        ({"n_obs": 5, "batch": ["b1", "b2"]}, "`batch` has 2 entries for 5 cells"),
        ({"labels": "alpha"}, "`labels` steer the labelled prior of SCANVI"),
        ({"source": "aggregate", "labels": "alpha"}, "`labels` need a model that was set up with them"),
        ({"library": "paired"}, "the prior has none. Use 'observed'"),
        ({"library": "latent"}, "needs a model with use_observed_lib_size=False"),
        ({"library": "typical"}, "library='typical' was given; choose"),
        ({"library": -3.0}, "`library` must be positive and finite"),
        ({"library": {"a": 1.0}}, "library={'a': 1.0} was given; choose"),
        ({"library": object()}, "library=<object .*> was given; choose"),
        ({"n_obs": 5, "library": [1.0, 2.0]}, r"`library` has the shape \(2,\); pass one number or 5"),
    ],
)
def test_bad_arguments(models, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample(models["zinb"], **arguments)


def test_model_that_is_not_trained_or_not_known():
    adata = make_cells()
    CountVI.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="The CountVI model is not trained. Run: model.train"):
        sample(CountVI(adata))
    scvi.model.AmortizedLDA.setup_anndata(adata)
    with pytest.raises(TypeError, match="AmortizedLDA cannot be read: it offers neither encode"):
        sample(scvi.model.AmortizedLDA(adata))


def test_model_without_cells(tmp_path):
    adata = make_cells()
    CountVI.setup_anndata(adata, batch_key="batch")
    scvi.settings.seed = 0
    model = CountVI(adata, **NETWORK)
    splitter = CountVI._data_splitter_cls(model.adata_manager, batch_size=32)
    deferred = CountVI(registry=model.registry, **NETWORK)
    train_quietly(deferred, datamodule=splitter)
    with pytest.raises(RuntimeError, match="The model has no cells attached"):
        sample(deferred, 5)


def test_diverged_model_is_named(models):
    import torch

    model = fit(CountVI, make_cells(), gene_likelihood="nb")
    with torch.no_grad():
        model.module.decoder.scale.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="decoded means are not finite"):
        sample(model, 5, rng=0)
