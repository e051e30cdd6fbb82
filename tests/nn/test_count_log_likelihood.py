import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from scgauge.nn import CountLikelihood, SparseRows, count_log_likelihood, dense_log_likelihood

pytestmark = pytest.mark.quick

NAMES = ["poisson", "nb", "zinb"]


def _case(name, *, n_cells=6, n_genes=9, seed=0, dtype=torch.float64, per_cell=False, mean=1.0):
    """Counts, and the parameters of a likelihood that need gradients."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.poisson(rng.gamma(0.5, 2 * mean, (n_cells, n_genes))), dtype=dtype)
    parameters = {
        "logits": torch.tensor(rng.normal(size=(n_cells, n_genes)), dtype=dtype),
        "log_exposure": torch.tensor(rng.normal(np.log(n_genes * mean), 0.5, (n_cells, 1)), dtype=dtype),
    }
    if name != "poisson":
        shape = (n_cells, n_genes) if per_cell else (n_genes,)
        parameters["log_dispersion"] = torch.tensor(rng.normal(0, 2, shape), dtype=dtype)
    if name == "zinb":
        parameters["zi_logits"] = torch.tensor(rng.normal(-1, 2, (n_cells, n_genes)), dtype=dtype)
    return x, {key: value.requires_grad_() for key, value in parameters.items()}


def _expected(x, parameters, *, normalise=True):
    """Log-likelihood of each cell by scipy, in double precision."""
    p = {key: value.detach().double().numpy() for key, value in parameters.items()}
    log_share = p["logits"] - (logsumexp(p["logits"], axis=1, keepdims=True) if normalise else 0)
    mu = np.exp(log_share + p["log_exposure"])
    x = x.double().numpy()
    if "log_dispersion" not in p:
        return stats.poisson.logpmf(x, mu).sum(1)
    theta = np.broadcast_to(np.exp(p["log_dispersion"]), x.shape)
    nb = stats.nbinom.logpmf(x, theta, theta / (theta + mu))
    if "zi_logits" not in p:
        return nb.sum(1)
    structural, drawn = -np.logaddexp(0, -p["zi_logits"]), -np.logaddexp(0, p["zi_logits"])
    return np.where(x == 0, np.logaddexp(structural, drawn + nb), drawn + nb).sum(1)


def _at_nonzero(x, **parameters):
    return count_log_likelihood(SparseRows.from_dense(x), **parameters)


@pytest.fixture(params=[_at_nonzero, dense_log_likelihood], ids=["non-zero", "all"])
def evaluate(request):
    """Log-likelihood of each cell, with the costly functions at non-zero entries or at all."""

    def call(x, parameters, **options):
        return request.param(x, **parameters, **options)

    return call


@pytest.mark.parametrize("mean", [0.05, 1.0, 30.0], ids=["sparse", "moderate", "dense"])
@pytest.mark.parametrize("per_cell", [False, True], ids=["gene", "gene-cell"])
@pytest.mark.parametrize("normalise", [True, False], ids=["shares", "free"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_scipy(evaluate, name, normalise, per_cell, mean):
    x, parameters = _case(name, per_cell=per_cell, mean=mean)
    found = evaluate(x, parameters, normalise=normalise).detach().numpy()
    np.testing.assert_allclose(found, _expected(x, parameters, normalise=normalise), rtol=1e-11)


@pytest.mark.parametrize("per_cell", [False, True], ids=["gene", "gene-cell"])
@pytest.mark.parametrize("normalise", [True, False], ids=["shares", "free"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(evaluate, name, normalise, per_cell):
    x, parameters = _case(name, n_cells=3, n_genes=5, per_cell=per_cell, mean=4.0)
    keys = list(parameters)

    def function(*values):
        return evaluate(x, dict(zip(keys, values, strict=True)), normalise=normalise)

    assert torch.autograd.gradcheck(function, tuple(parameters.values()), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_exact_to_its_rounding(evaluate, name):
    x, parameters = _case(name, n_cells=4, n_genes=20_000, dtype=torch.float32, mean=0.2)
    found = evaluate(x, parameters).detach().numpy()
    np.testing.assert_allclose(found, _expected(x, parameters), rtol=3e-6)


def _log_nb(x, log_mu, log_theta):
    mu, theta = mpmath.exp(log_mu), mpmath.exp(log_theta)
    log_total = mpmath.log(theta + mu)
    combinations = mpmath.loggamma(x + theta) - mpmath.loggamma(theta) - mpmath.loggamma(x + 1)
    return combinations + theta * (log_theta - log_total) + x * (log_mu - log_total)


def _digits(x, parameters):
    """Log-likelihood of each cell with 60 digits, where the formulas of scipy have none left."""
    p = {key: value.detach().double().numpy() for key, value in parameters.items()}
    totals = []
    with mpmath.workdps(60):
        for cell, counts in enumerate(x.double().numpy()):
            logits = [mpmath.mpf(value) for value in p["logits"][cell]]
            shift = mpmath.mpf(p["log_exposure"][cell, 0]) - mpmath.log(sum(mpmath.exp(value) for value in logits))
            total = mpmath.mpf(0)
            for gene, count in enumerate(counts):
                value = _log_nb(count, logits[gene] + shift, mpmath.mpf(p["log_dispersion"][gene]))
                if "zi_logits" in p:
                    odds = mpmath.exp(mpmath.mpf(p["zi_logits"][cell, gene]))
                    value = mpmath.log((odds * (count == 0) + mpmath.exp(value)) / (1 + odds))
                total += value
            totals.append(float(total))
    return np.array(totals)


@pytest.mark.parametrize("log_theta", [-200.0, -30.0, 12.0, 30.0])
@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_float32_at_the_ends_of_the_dispersion(evaluate, name, log_theta):
    x, parameters = _case(name, dtype=torch.float32, mean=3.0)
    parameters["log_dispersion"] = torch.full((x.shape[1],), log_theta).requires_grad_()
    value = evaluate(x, parameters)
    value.sum().backward()
    np.testing.assert_allclose(value.detach().numpy(), _digits(x, parameters), rtol=2e-6)
    assert all(parameter.grad.isfinite().all() for parameter in parameters.values())


@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_mean_near_zero(evaluate, name):
    x, parameters = _case(name, dtype=torch.float32)
    with torch.no_grad():
        parameters["logits"][:, 0] = -200.0  # underflows as a share
    value = evaluate(x, parameters)
    value.sum().backward()
    np.testing.assert_allclose(value.detach().numpy(), _digits(x, parameters), rtol=2e-6)
    assert all(parameter.grad.isfinite().all() for parameter in parameters.values())


@pytest.mark.parametrize("name", NAMES)
def test_empty_cells_and_full_ones(evaluate, name):
    x, parameters = _case(name, dtype=torch.float64)
    x[0] = 0
    x[1] = x[1] + 1
    with torch.no_grad():
        parameters["log_exposure"][0] = -torch.inf  # the log of the library of an empty cell
    value = evaluate(x, parameters)
    value.sum().backward()
    assert value[0] == 0
    np.testing.assert_allclose(value.detach().numpy()[1:], _expected(x, parameters)[1:], rtol=1e-11)
    for key, parameter in parameters.items():
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NAMES)
def test_no_counts_at_all(evaluate, name):
    x, parameters = _case(name)
    found = evaluate(torch.zeros_like(x), parameters).detach().numpy()
    np.testing.assert_allclose(found, _expected(torch.zeros_like(x), parameters), rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_several_draws_are_those_of_each(evaluate, name):
    x, one = _case(name, seed=1)
    _, other = _case(name, seed=2)
    keys = [key for key in one if key != "log_dispersion"]
    stacked = {key: torch.stack((one[key], other[key])) for key in keys}
    shared = one.get("log_dispersion")
    draws = CountLikelihood(
        name, stacked["logits"], stacked["log_exposure"], log_dispersion=shared, zi_logits=stacked.get("zi_logits")
    )
    found = draws.log_likelihood(x)
    assert found.shape == (2, len(x))
    for row, parameters in zip(found, (one, other), strict=True):
        if shared is not None:
            parameters["log_dispersion"] = shared
        torch.testing.assert_close(row, evaluate(x, parameters))


@pytest.mark.parametrize("name", NAMES)
def test_sum_is_that_of_the_distribution_of_scvi_tools(name):
    x, parameters = _case(name)
    px = CountLikelihood(name, **parameters)
    torch.testing.assert_close(px.log_likelihood(x), px.log_prob(x).sum(-1), rtol=1e-6, atol=1e-6)
    # All else is read from that distribution.
    assert px.get_normalized("scale").shape == x.shape
    with pytest.raises(AttributeError):
        px.no_such_name  # noqa: B018


def test_sixteen_bit_parameters_are_summed_in_float32(evaluate):
    x, parameters = _case("zinb", n_genes=500, dtype=torch.float32)
    half = {key: value.detach().to(torch.bfloat16) for key, value in parameters.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = evaluate(x, half)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), _expected(x, half), rtol=1e-5)
