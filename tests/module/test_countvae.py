import numpy as np
import pytest
import torch
from oracles.scvi_weights import copy_weights
from scipy import stats
from scipy.special import logsumexp
from scvi.module import VAE

from scgauge.module import CountVAE

pytestmark = pytest.mark.quick

N_CELLS, N_GENES, N_BATCH, CATEGORIES = 40, 30, 3, [4, 2]
LIKELIHOODS = ["zinb", "nb", "poisson", "bernoulli", "normal"]
COUNTS = ["zinb", "nb", "poisson"]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        yield


def minibatch(kind: str = "counts", *, size_factor: bool = False) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.poisson(1.5, (N_CELLS, N_GENES)).astype(np.float32)
    if kind == "bernoulli":
        x = (x > 0).astype(np.float32)
    elif kind == "normal":
        x = np.log1p(x) - 0.5
    tensors = {
        "X": torch.tensor(x),
        "batch": torch.tensor(rng.integers(0, N_BATCH, (N_CELLS, 1))),
        "labels": torch.zeros(N_CELLS, 1, dtype=torch.long),
        "extra_continuous_covs": torch.tensor(rng.normal(size=(N_CELLS, 2)), dtype=torch.float32),
        "extra_categorical_covs": torch.tensor(np.column_stack([rng.integers(0, n, N_CELLS) for n in CATEGORIES])),
    }
    if size_factor:
        tensors["size_factor"] = torch.tensor(rng.uniform(0.5, 2, (N_CELLS, 1)), dtype=torch.float32)
    return tensors


def arguments(**others) -> dict:
    prior = {"library_log_means": np.array([[3.0, 3.1, 3.2]]), "library_log_vars": np.array([[0.1, 0.2, 0.3]])}
    return {"n_batch": N_BATCH, "n_continuous_cov": 2, "n_cats_per_cov": CATEGORIES} | prior | others


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("library", ["observed", "latent", "size_factor"])
@pytest.mark.parametrize("encode_covariates", [False, True])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("gene_likelihood", COUNTS)
def test_elbo_equals_that_of_scvi_tools(gene_likelihood, dispersion, encode_covariates, library, n_layers):
    network = arguments(
        gene_likelihood=gene_likelihood,
        dispersion=dispersion,
        encode_covariates=encode_covariates,
        n_layers=n_layers,
        use_observed_lib_size=library != "latent",
    )
    with_factor = library == "size_factor"
    theirs = VAE(N_GENES, use_size_factor_key=with_factor, **network).eval()
    ours = CountVAE(N_GENES, use_size_factor=with_factor, **network).eval()
    copy_weights(theirs, ours)
    tensors = minibatch(size_factor=with_factor)
    results = []
    for module in (theirs, ours):
        torch.random.default_generator.manual_seed(1)
        losses = module(tensors)[2]
        kl = sum(value.detach() for value in losses.kl_local.values())
        results.append(losses.dict_sum(losses.reconstruction_loss).detach() + kl)
    # The same float32 operations, but for the covariates, which are added in another order.
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("observed", [True, False], ids=["observed library", "latent library"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("gene_likelihood", LIKELIHOODS)
def test_every_parameter_has_a_gradient_after_one_backward_pass(gene_likelihood, dispersion, observed):
    module = CountVAE(
        N_GENES,
        **arguments(gene_likelihood=gene_likelihood, dispersion=dispersion, use_observed_lib_size=observed),
    )
    module(minibatch(gene_likelihood))[2].loss.backward()
    without = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    assert without == []


def _scipy_log_prob(name: str, x: np.ndarray, px) -> np.ndarray:
    value = {key: getattr(px, key).detach().double().numpy() for key in _PARAMETERS[name]}
    if name == "poisson":
        return stats.poisson.logpmf(x, value["rate"])
    if name == "bernoulli":
        return stats.bernoulli.logpmf(x, value["probs"])
    if name == "normal":
        return stats.norm.logpdf(x, value["loc"], value["scale"])
    nb = stats.nbinom.logpmf(x, value["theta"], value["theta"] / (value["theta"] + value["mu"]))
    if name == "nb":
        return nb
    pi = value["zi_probs"]
    return np.where(x == 0, np.logaddexp(np.log(pi), np.log1p(-pi) + nb), np.log1p(-pi) + nb)


_PARAMETERS = {
    "zinb": ("mu", "theta", "zi_probs"),
    "nb": ("mu", "theta"),
    "poisson": ("rate",),
    "bernoulli": ("probs",),
    "normal": ("loc", "scale"),
}


@pytest.mark.parametrize("gene_likelihood", LIKELIHOODS)
def test_log_probability_equals_scipy(gene_likelihood):
    module = CountVAE(N_GENES, **arguments(gene_likelihood=gene_likelihood)).double().eval()
    tensors = {
        key: value.double() if value.is_floating_point() else value for key, value in minibatch(gene_likelihood).items()
    }
    _, generative, losses = module(tensors)
    expected = -_scipy_log_prob(gene_likelihood, tensors["X"].numpy(), generative["px"]).sum(1)
    found = losses.dict_sum(losses.reconstruction_loss).detach().numpy()
    # scvi-tools adds 1e-8 inside its logarithms.
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_kl_is_the_closed_form():
    module = CountVAE(N_GENES, **arguments(gene_likelihood="nb")).eval()
    inference, _, losses = module(minibatch())
    mean, variance = inference["qz"].loc, inference["qz"].scale ** 2
    expected = 0.5 * (variance + mean**2 - 1 - variance.log()).sum(1)
    torch.testing.assert_close(losses.kl_local["kl_divergence_z"], expected)


@pytest.mark.parametrize("gene_likelihood", LIKELIHOODS)
def test_marginal_likelihood_equals_quadrature_over_a_one_dimensional_latent(gene_likelihood):
    module = CountVAE(N_GENES, n_latent=1, n_hidden=8, gene_likelihood=gene_likelihood, n_batch=N_BATCH).eval()
    with torch.no_grad():
        # Posteriors near the prior, which the untrained encoder also draws from: few draws then tell the integral.
        module.decoder.scale.weight *= 0.1
    tensors = {key: value for key, value in minibatch(gene_likelihood).items() if not key.startswith("extra")}
    grid = torch.linspace(-8, 8, 1001)
    library = tensors["X"].sum(1, keepdim=True).clamp(min=1e-3).log()
    with torch.no_grad():
        z = grid[:, None, None].expand(-1, N_CELLS, 1)
        log_density = torch.empty(len(grid), N_CELLS)
        for rows in torch.arange(len(grid)).split(500):
            px = module.generative(z[rows], library.expand(len(rows), -1, -1), tensors["batch"])["px"]
            log_density[rows] = px.log_prob(tensors["X"]).sum(-1)
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)[:, None]
    step = float(grid[1] - grid[0])
    expected = logsumexp((log_density + log_prior).double().numpy(), axis=0) + np.log(step)
    estimates = torch.stack([module.marginal_ll(tensors, 2000, n_mc_samples_per_pass=500) for _ in range(5)])
    # Five estimates of 2000 draws each give the Monte-Carlo error of their mean; 1e-3 is float32 over 30 genes.
    error = estimates.std(0).numpy() / np.sqrt(5)
    np.testing.assert_array_less(np.abs(estimates.mean(0).numpy() - expected), 6 * error + 2e-3)


def test_marginal_likelihood_equals_quadrature_over_a_latent_library():
    module = CountVAE(
        N_GENES, n_latent=1, n_hidden=8, gene_likelihood="nb", n_batch=N_BATCH, use_observed_lib_size=False,
        library_log_means=np.array([[3.6, 3.7, 3.8]]), library_log_vars=np.array([[0.1, 0.2, 0.3]]),
    ).eval()  # fmt: skip
    with torch.no_grad():  # a proposal that covers the posterior of the library
        module.l_encoder.mean.bias.fill_(3.7)
        module.l_encoder.log_variance.bias.fill_(-2.0)
    tensors = {key: value for key, value in minibatch().items() if not key.startswith("extra")}
    grid_z, grid_l = torch.linspace(-7, 7, 141), torch.linspace(1, 7, 241)
    pairs = torch.cartesian_prod(grid_z, grid_l)
    with torch.no_grad():
        log_joint = torch.empty(len(pairs), N_CELLS)
        for rows in torch.arange(len(pairs)).split(1000):
            z, library = (pairs[rows, i, None, None].expand(-1, N_CELLS, 1) for i in (0, 1))
            out = module.generative(z, library, tensors["batch"])
            log_prior = out["pz"].log_prob(z).sum(-1) + out["pl"].log_prob(library).sum(-1)
            log_joint[rows] = out["px"].log_prob(tensors["X"]).sum(-1) + log_prior
    area = float((grid_z[1] - grid_z[0]) * (grid_l[1] - grid_l[0]))
    expected = logsumexp(log_joint.double().numpy(), axis=0) + np.log(area)
    # Draws grouped unevenly: 300 are the last, smaller pass.
    estimates = torch.stack([module.marginal_ll(tensors, 1500, n_mc_samples_per_pass=400) for _ in range(8)])
    error = estimates.std(0).numpy() / np.sqrt(8)
    np.testing.assert_array_less(np.abs(estimates.mean(0).numpy() - expected), 6 * error + 5e-3)


@torch.no_grad()
def test_several_draws_have_the_mean_of_single_ones():
    module = CountVAE(N_GENES, **arguments(gene_likelihood="poisson", use_observed_lib_size=False)).eval()
    tensors = minibatch()
    inputs = module._get_inference_input(tensors)
    outputs = module.inference(**inputs, n_samples=4000)
    assert outputs["z"].shape == (4000, N_CELLS, 10)
    error = outputs["qz"].scale / np.sqrt(4000)
    assert float(((outputs["z"].mean(0) - outputs["qz"].loc).abs() / error).max()) < 6
    assert float(((outputs["library"].mean(0) - outputs["ql"].loc) / outputs["ql"].scale).abs().max()) < 6 / np.sqrt(
        4000
    )
