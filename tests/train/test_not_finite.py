"""No loss of a sensible model is NaN, and one that is stops the run and names the minibatch and the part."""

import contextlib
import io
import logging

import numpy as np
import pytest
import torch
from anndata import AnnData
from cells import LIKELIHOODS, fit, make_cells, train_quietly
from scipy import sparse

from scgauge._core.rng import seeded
from scgauge.model import BayesianLinearVI, CountVI, LinearVI
from scgauge.train import BayesianTrainingPlan

pytestmark = [
    pytest.mark.quick,
    # A gene without counts, a batch of few cells and precision on a CPU: what random configurations are made of.
    pytest.mark.filterwarnings("ignore:.* genes have no count in any cell:UserWarning"),
    pytest.mark.filterwarnings("ignore:Category . in adata.obs:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning"),
]


def strange_counts(rng, n_obs=40, n_vars=24):
    """Counts with what real matrices have: empty and constant genes, giant libraries and cells of one count."""
    x = rng.poisson(rng.gamma(0.5, 2, (n_obs, n_vars))).astype(np.float32)
    x[:, 0] += 1
    kind = rng.choice(["plain", "empty genes", "constant genes", "giant library", "lone counts", "one giant gene"])
    if kind == "empty genes":
        x[:, n_vars // 2 :] = 0
    elif kind == "constant genes":
        x[:, 1:6] = 7
    elif kind == "giant library":
        x = np.rint(x * rng.uniform(1e4, 1e6 / max(1.0, x.sum(1).mean())))
    elif kind == "lone counts":
        x[: n_obs // 2] = 0
        x[: n_obs // 2, 0] = 1
    elif kind == "one giant gene":
        x[:, 3] = rng.integers(1, 1_000_000, n_obs)
    return x


def random_run(seed):
    """Train one random configuration for two epochs; what of it is not finite."""
    rng = np.random.default_rng(seed)
    likelihood = str(rng.choice(LIKELIHOODS))
    counts = likelihood in {"zinb", "nb", "poisson"}
    x = strange_counts(rng)
    if likelihood == "bernoulli":
        x = (x > 1).astype(np.float32)
    elif likelihood == "normal":
        x = np.log1p(x) - rng.choice([0, 1, 100]).astype(np.float32)
    adata = AnnData(sparse.csr_matrix(x) if rng.random() < 0.7 else x)
    adata.obs["batch"] = rng.choice(["a", "b", "c"], adata.n_obs, p=[0.6, 0.35, 0.05])
    adata.obs["donor"] = rng.choice(["d1", "d2"], adata.n_obs)
    adata.obs["age"] = rng.normal(size=adata.n_obs) * rng.choice([1, 100])
    adata.obs["size"] = rng.uniform(0.1, 10, adata.n_obs)
    setup = {name: value for name, value in {
        "batch_key": "batch", "categorical_covariate_keys": ["donor"], "continuous_covariate_keys": ["age"]
    }.items() if rng.random() < 0.5}  # fmt: skip
    sizes = counts and rng.random() < 0.2
    if sizes:
        setup["size_factor_key"] = "size"
    model_class = CountVI if rng.random() < 0.7 else LinearVI
    network = {
        "n_latent": int(rng.integers(1, 5)),
        "n_hidden": int(rng.choice([4, 16])),
        "n_layers": int(rng.integers(1, 3)),
        "gene_likelihood": likelihood,
        "dispersion": str(rng.choice(["gene", "gene-batch", "gene-cell"])) if likelihood in {"nb", "zinb"} else "gene",
        "encode_covariates": bool(rng.random() < 0.5),
        "use_batch_norm": str(rng.choice(["encoder", "none"])),
        "use_layer_norm": str(rng.choice(["encoder", "none"])),
        "dropout_rate": float(rng.choice([0.0, 0.1, 0.5])),
    }
    if counts and not sizes:
        network["use_observed_lib_size"] = bool(rng.random() < 0.7)
    precision = str(rng.choice(["32-true", "32-true", "bf16-mixed"]))
    with seeded(seed), contextlib.redirect_stdout(io.StringIO()):
        model_class.setup_anndata(adata, **setup)
        model = model_class(adata, **network)
        try:
            model.train(
                max_epochs=2, batch_size=16, precision=precision, accelerator="cpu", enable_progress_bar=False,
                check_val_every_n_epoch=1, train_size=0.8,
            )  # fmt: skip
        except RuntimeError as error:
            return str(error), model_class.__name__, setup, network, precision
        found = {name: table.to_numpy(dtype=float) for name, table in model.history.items()}
        found["latent"] = model.get_latent_representation()
        found["expression"] = model.get_likelihood_parameters(n_samples=1)["mean"]
    bad = [name for name, values in found.items() if not np.isfinite(values).all()]
    return (bad, model_class.__name__, setup, network, precision) if bad else None


@pytest.fixture(autouse=True)
def _no_logs():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_twenty_random_configurations_are_finite():
    assert list(filter(None, map(random_run, range(20)))) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_a_thousand_random_configurations_are_finite(first):
    assert list(filter(None, map(random_run, range(first, first + 100)))) == []


def test_twenty_thousand_genes_and_libraries_of_a_million_counts():
    rng = np.random.default_rng(0)
    x = sparse.random(50, 20_000, density=0.05, random_state=0, format="csr", dtype=np.float32)
    x.data = np.rint(rng.gamma(0.3, 1.0, x.nnz) * 1e6 / 1000 / 0.3).astype(np.float32) + 1
    assert 5e5 < x.sum(1).mean() < 2e6
    model = fit(CountVI, AnnData(x), setup={}, epochs=2, n_latent=3, n_hidden=8, gene_likelihood="nb")
    assert all(np.isfinite(table.to_numpy(dtype=float)).all() for table in model.history.values())
    assert np.isfinite(model.get_latent_representation()).all()


def spoil(model, name, after):
    """Make a part of the loss NaN from some call on."""
    loss, calls = model.module.loss, []

    def spoilt(*args, **kwargs):
        found = loss(*args, **kwargs)
        if model.module.training:
            calls.append(name)
        if len(calls) > after:
            setattr(found, f"{name}_sum", getattr(found, f"{name}_sum") * float("nan"))
            found.loss = found.loss * float("nan")
        return found

    model.module.loss = spoilt


@pytest.mark.parametrize("part", ["reconstruction_loss", "kl_local"])
def test_the_message_names_minibatch_and_part(part):
    adata = make_cells()
    CountVI.setup_anndata(adata)
    model = CountVI(adata, n_latent=2, n_hidden=8)
    spoil(model, part, after=6)
    message = rf"not finite in epoch 1 .* Not finite from minibatch 2 \(from 0\) of 4 on: {part}\."
    with pytest.raises(RuntimeError, match=message):
        train_quietly(model, batch_size=30, train_size=1.0)


def test_weights_that_have_become_nan_are_named():
    adata = make_cells()
    CountVI.setup_anndata(adata)
    model = CountVI(adata, n_latent=2, n_hidden=8)
    with torch.no_grad():
        model.module.z_encoder.mean.weight.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="from minibatch 0 .* on: reconstruction_loss and kl_local: weights"):
        train_quietly(model, max_epochs=1)


@pytest.mark.filterwarnings("ignore:Encountered NaN:UserWarning")  # Pyro says so, too, but goes on
def test_a_bayesian_model_names_the_minibatch(monkeypatch):
    adata = make_cells()
    BayesianLinearVI.setup_anndata(adata)
    model = BayesianLinearVI(adata, n_latent=2, n_hidden=8)
    loss, calls = BayesianTrainingPlan._loss, []

    def spoilt(self, batch):
        calls.append(1)
        return loss(self, batch) * (float("nan") if len(calls) > 6 else 1)

    monkeypatch.setattr(BayesianTrainingPlan, "_loss", spoilt)
    with pytest.raises(RuntimeError, match=r"not finite in epoch 1, minibatch 2 \(from 0\)\. Train"):
        train_quietly(model, max_epochs=9, batch_size=30, train_size=1.0)
