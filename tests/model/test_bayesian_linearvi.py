"""BayesianLinearVI: its ELBO against a direct computation, intervals against draws, coverage of planted loadings."""

import numpy as np
import pandas as pd
import pyro
import pytest
import scvi
import torch
from cells import SETUP, make_cells, train_quietly
from scipy.linalg import orthogonal_procrustes
from torch.distributions import HalfCauchy, LogNormal, MultivariateNormal, Normal

import scgauge
from scgauge.model import BayesianLinearVI
from scgauge.train import BayesianTrainingPlan

pytestmark = pytest.mark.quick


def build(adata=None, *, setup=None, seed=0, **network):
    scvi.settings.seed = seed
    adata = make_cells() if adata is None else adata
    BayesianLinearVI.setup_anndata(adata, **(SETUP if setup is None else setup))
    return BayesianLinearVI(adata, **({"n_latent": 3, "n_hidden": 16} | network))


@pytest.fixture(scope="module")
def model():
    return train_quietly(build(), max_epochs=3)


@pytest.fixture(scope="module")
def planted():
    adata = scgauge.datasets.simulate_counts(600, 60, n_latent=3, n_groups=3, rng=0)
    trained = build(adata, setup={}, n_hidden=64)
    return adata, train_quietly(trained, max_epochs=45, train_size=1.0, plan_kwargs={"lr": 2e-2})


@pytest.mark.parametrize("gene_likelihood", ["nb", "poisson"])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_loss_equals_the_elbo_written_out(covariance, gene_likelihood):
    module = build(covariance=covariance, gene_likelihood=gene_likelihood, dispersion="gene-batch").module.eval()
    adata = make_cells()
    rng = np.random.default_rng(0)
    x = torch.tensor(adata.X.toarray()[:40])
    batch = torch.tensor(rng.integers(0, 2, (40, 1)))
    cat, cont = torch.tensor(rng.integers(0, 3, (40, 1))), torch.randn(40, 1)
    module.n_obs = 400
    with torch.no_grad():
        if covariance == "full":
            module.below_diagonal.normal_(0, 0.05)
    args = (x, batch, cont, cat, None)
    trace = pyro.poutine.trace(module.guide).get_trace(*args)
    drawn = {name: trace.nodes[name]["value"] for name in ("tau", "loadings", "z")}
    model, guide = (pyro.poutine.replay(part, trace) for part in (module.model, module.guide))
    loss = pyro.infer.Trace_ELBO().loss(model, guide, *args)
    tril = module.loadings_tril()
    mean = module.decoder.scale.regression.linear.weight[:, :3]
    qz = module.z_encoder(torch.log1p(x))
    head = module.decoder.scale.regression
    logits = drawn["z"] @ drawn["loadings"].T + cont @ head.linear.weight[:, 3:].T + head.linear.bias
    logits = logits + head.effects[0](batch.ravel()) + head.effects[1](cat.ravel())
    rate = torch.softmax(logits, -1) * x.sum(1, keepdim=True)
    if gene_likelihood == "nb":
        from scvi.distributions import NegativeBinomial

        px = NegativeBinomial(mu=rate, theta=module.px_r[batch.ravel()].exp())
    else:
        px = torch.distributions.Poisson(rate)
    theory = 10 * px.log_prob(x).sum()  # 400 cells, of which 40 are seen
    theory += 10 * (Normal(0.0, 1.0).log_prob(drawn["z"]) - qz.log_prob(drawn["z"])).sum()
    theory += Normal(0.0, drawn["tau"]).log_prob(drawn["loadings"]).sum()
    theory -= MultivariateNormal(mean, scale_tril=tril).log_prob(drawn["loadings"]).sum()
    spread = torch.nn.functional.softplus(module.log_tau_spread)
    theory += (HalfCauchy(1.0).log_prob(drawn["tau"]) - LogNormal(module.log_tau, spread).log_prob(drawn["tau"])).sum()
    assert loss == pytest.approx(-float(theory.detach()), rel=1e-5)


def test_the_plan_has_the_same_loss_with_less_noise():
    module = build(n_latent=2).module
    plan = BayesianTrainingPlan(module)  # it puts the module into training mode
    module.eval()
    x = torch.tensor(make_cells().X.toarray()[:30])
    zeros = torch.zeros(30, 1)
    args = (x, zeros.long(), zeros, zeros.long(), None)
    module.n_obs = 30
    plain = np.array([pyro.infer.Trace_ELBO().loss(module.model, module.guide, *args) for _ in range(100)])
    closed = np.array([plan.loss_fn.loss(module.model, module.guide, *args) for _ in range(60)])
    error = np.hypot(plain.std() / np.sqrt(100), closed.std() / np.sqrt(60))
    assert abs(plain.mean() - closed.mean()) < 5 * error
    assert closed.std() < 0.9 * plain.std()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_every_parameter_has_a_gradient(covariance):
    module = build(covariance=covariance).module
    module.n_obs = 120
    adata = make_cells()
    x = torch.tensor(adata.X.toarray())
    zeros = torch.zeros(120, 1)
    loss = pyro.infer.TraceMeanField_ELBO().differentiable_loss(
        module.model, module.guide, x, zeros.long(), zeros + 0.3, zeros.long(), None
    )
    loss.backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("rotation", [None, "varimax", "svd"])
@pytest.mark.parametrize("centered", [True, False])
def test_intervals_are_those_of_draws(model, rotation, centered):
    table = model.get_loadings(return_interval=0.8, rotation=rotation, centered=centered, order=None)
    tril = torch.linalg.cholesky(torch.as_tensor(model.module.get_loadings_covariance()))
    mean = torch.as_tensor(model.module.get_loadings()).double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((4000, 20, 3), generator=generator, dtype=torch.float64)
    draws = (mean + torch.einsum("gij,ngj->ngi", tril, noise)).numpy()
    if centered:
        draws = draws - draws.mean(1, keepdims=True)
    back = np.linalg.inv(model.get_rotation(rotation=rotation, order=None).to_numpy()).T
    draws = np.einsum("ngi,ik->nkg", draws, back).reshape(4000, -1)
    sd = table["sd"].to_numpy()
    np.testing.assert_allclose(draws.std(0) / sd, 1, atol=6 / np.sqrt(8000))
    np.testing.assert_allclose((draws.mean(0) - table["loading"]) / sd, 0, atol=6 / np.sqrt(4000))
    inside = (draws >= table["lower"].to_numpy()) & (draws <= table["upper"].to_numpy())
    np.testing.assert_allclose(inside.mean(0), 0.8, atol=6 * np.sqrt(0.16 / 4000))
    np.testing.assert_allclose((draws > 0).mean(0), table["probability_positive"], atol=6 * np.sqrt(0.25 / 4000))
    rate = np.minimum(table["probability_positive"], 1 - table["probability_positive"])
    np.testing.assert_allclose(table["local_false_sign_rate"], rate)


def test_the_table_has_the_loadings(model):
    wide = model.get_loadings(rotation="varimax")
    table = model.get_loadings(return_interval=0.9, rotation="varimax")
    again = table.pivot_table(index="gene", columns="factor", values="loading", sort=False)
    pd.testing.assert_frame_equal(again.loc[wide.index, wide.columns], wide, check_names=False)
    with pytest.raises(ValueError, match="found 1.5"):
        model.get_loadings(return_interval=1.5)


def aligned(model, truth, **arguments):
    start = model.get_rotation(rotation="varimax", order=None).to_numpy()
    mean = model.get_loadings(rotation=start, order=None).to_numpy()
    turn = start @ orthogonal_procrustes(mean, truth)[0]
    return model.get_loadings(return_interval=0.9, rotation=turn, order=None, **arguments)


def test_intervals_cover_planted_loadings(planted):
    adata, model = planted
    truth = adata.varm["loadings"]
    table = aligned(model, truth)
    inside = (table["lower"] <= truth.T.ravel()) & (truth.T.ravel() <= table["upper"])
    # 180 loadings of one data set: the tables of the benchmarks have ten.
    assert 0.7 < inside.mean() <= 0.99
    large = np.abs(truth.T.ravel()) > 0.5
    called = table["local_false_sign_rate"].to_numpy() < 0.01
    assert called[large].all()
    assert (np.sign(table["loading"].to_numpy())[large] == np.sign(truth.T.ravel())[large]).all()


def test_what_scvi_tools_offers_works(model, tmp_path):
    assert np.isfinite(float(model.get_elbo()))
    assert model.get_latent_representation(rotation="svd").shape == (120, 3)
    assert np.isfinite(model.get_normalized_expression().to_numpy()).all()
    assert scgauge.tl.sample(model, 5, rng=0, progress=False).shape == (5, 20)
    assert model.history["kl_weight"].iloc[-1].item() == 1.0
    model.save(tmp_path / "model")
    loaded = BayesianLinearVI.load(tmp_path / "model", adata=make_cells())
    pd.testing.assert_frame_equal(
        loaded.get_loadings(return_interval=0.9, order=None), model.get_loadings(return_interval=0.9, order=None)
    )
    with pytest.raises(NotImplementedError, match="maps no queries"):
        BayesianLinearVI.load_query_data(make_cells(), model)


def test_loss_is_a_mean_over_cells_and_falls(planted):
    _, model = planted
    loss = model.history["elbo_train"].to_numpy(dtype=float).ravel()
    assert loss[-1] < loss[5]
    assert loss[-1] == pytest.approx(-float(model.get_elbo()), rel=0.1)  # beside the divergence of the loadings


@pytest.mark.parametrize(
    ("network", "match"),
    [
        ({"gene_likelihood": "zinb"}, "gene_likelihood='zinb'"),
        ({"covariance": "low rank"}, "covariance='low rank'"),
        ({"dispersion": "gene-cell"}, "dispersion='gene-cell'"),
        ({"use_batch_norm": "both"}, "use_batch_norm='both'"),
    ],
)
def test_bad_arguments(network, match):
    with pytest.raises(ValueError, match=match):
        build(**network)
