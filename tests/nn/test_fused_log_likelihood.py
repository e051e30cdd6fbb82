import numpy as np
import pytest
import torch
from scipy.special import expit

from scgauge.nn import SparseRows, _count_log_likelihood, _fused_log_likelihood, _fused_rows

pytestmark = pytest.mark.quick

GRID = np.concatenate([np.linspace(-80, 88, 20_001), np.linspace(-2, 2, 5001)]).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "expected", "x"),
    [
        (_fused_rows._exp, np.exp, GRID),
        (_fused_rows._log1p, np.log1p, np.exp(GRID)),
        (_fused_rows._sigmoid, expit, GRID),
        (_fused_rows._softplus, lambda x: np.logaddexp(0, x), GRID),
    ],
    ids=["exp", "log1p", "sigmoid", "softplus"],
)
def test_functions_of_a_number_are_exact_to_float32(function, expected, x):
    found = [function(value) for value in x]
    assert {signature.return_type.name for signature in function.nopython_signatures} == {"float32"}
    np.testing.assert_allclose(found, expected(x.astype(np.float64)), rtol=3e-7)


def test_difference_of_softplus_is_exact_to_the_rounding_of_one():
    x, y = GRID[::5], np.random.default_rng(0).permutation(GRID[::5])
    found = [_fused_rows._softplus_difference(a, b) for a, b in zip(x, y, strict=True)]
    expected = np.logaddexp(0, x.astype(float)) - np.logaddexp(0, y.astype(float))
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=3e-7)


def test_ends_of_the_exponential_are_finite():
    ends = np.array([-np.inf, -1e30, 1e30, np.inf], dtype=np.float32)
    assert np.isfinite([_fused_rows._exp(x) for x in ends]).all()
    np.testing.assert_array_equal([_fused_rows._sigmoid(x) for x in ends[2:]], 1)


def _case(seed, *, inflated, n_cells=7, n_genes=101):
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(n_cells, n_genes, generator=generator).pow(4) * 30
    parameters = {
        "logits": torch.randn(n_cells, n_genes, generator=generator) * 3,
        "log_exposure": torch.randn(n_cells, 1, generator=generator) + 5,
        "log_dispersion": torch.randn(n_genes, generator=generator) * 2,
        "zi_logits": torch.randn(n_cells, n_genes, generator=generator) * 2 if inflated else None,
    }
    return SparseRows.from_dense(torch.poisson(rate, generator=generator)), parameters


def _value_and_gradients(function, x, parameters, *, normalise=True, dtype=torch.float32):
    parts = [None if part is None else part.to(dtype, copy=True).requires_grad_() for part in parameters.values()]
    value = function(*parts, x.map_values(lambda values: values.to(dtype)), normalise)
    # Each cell with a weight of its own, as no loss has it.
    (value * torch.linspace(-1, 2, len(value), dtype=dtype)).sum().backward()
    return [value.detach(), *(part.grad for part in parts if part is not None)]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("inflated", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_steps_in_double_precision(seed, inflated, normalise):
    x, parameters = _case(seed, inflated=inflated)
    if not normalise:
        parameters["logits"] -= 5
    found = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, parameters, normalise=normalise)
    steps = _count_log_likelihood._LogLikelihood.apply
    expected = _value_and_gradients(steps, x, parameters, normalise=normalise, dtype=torch.float64)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6 * float(other.abs().max()))


@pytest.mark.parametrize("inflated", [True, False])
def test_threads_change_nothing(monkeypatch, inflated):
    x, parameters = _case(3, inflated=inflated)
    one = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, parameters)
    monkeypatch.setattr(_fused_log_likelihood, "_ENTRIES_PER_THREAD", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert len(_fused_log_likelihood._blocks(7, 101)) == 3
    several = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, parameters)
    for i, (a, b) in enumerate(zip(one, several, strict=True)):
        if i == 3:  # by the dispersion: summed over cells, in another order
            torch.testing.assert_close(a, b)
        else:
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["logits", "log_exposure", "log_dispersion", "zi_logits"])
def test_what_is_not_a_number_is_not_hidden(name):
    x, parameters = _case(4, inflated=True)
    parameters[name].view(-1)[5] = torch.nan
    value = _fused_log_likelihood.fused_log_likelihood(*parameters.values(), x, True)
    rows = torch.arange(7) if name == "log_dispersion" else torch.tensor([5 if name == "log_exposure" else 0])
    assert value.isnan().nonzero().squeeze(1).tolist() == rows.tolist()


@pytest.mark.parametrize("inflated", [True, False])
def test_value_is_the_same_where_no_gradient_is_wanted(inflated):
    x, parameters = _case(6, inflated=inflated)
    value, *_ = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, parameters)
    alone = _fused_log_likelihood.fused_log_likelihood(*parameters.values(), x, True)
    assert torch.equal(alone, value)
    assert alone.grad_fn is None
    with torch.no_grad():
        parameters["log_dispersion"].requires_grad_()
        assert _fused_log_likelihood.fused_log_likelihood(*parameters.values(), x, True).grad_fn is None


@pytest.mark.parametrize("inflated", [True, False])
def test_logits_need_not_lie_in_order(inflated):
    x, parameters = _case(7, inflated=inflated)
    expected = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, parameters)
    turned = {name: part if part is None else part.t().contiguous().t() for name, part in parameters.items()}
    assert not turned["logits"].is_contiguous()
    turned["log_exposure"] = parameters["log_exposure"]
    found = _value_and_gradients(_fused_log_likelihood.fused_log_likelihood, x, turned)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_loops_use_the_widest_vectors():
    x, parameters = _case(8, inflated=True)
    _fused_log_likelihood.fused_log_likelihood(*parameters.values(), x, True)
    for kernel in (_fused_rows.log_likelihood_rows, _fused_rows.rising_factorials):
        # Once more, since what was read from disk has no text.
        compiled = type(kernel)(kernel.py_func, targetoptions=kernel.targetoptions)
        signature = kernel.signatures[0]
        compiled.compile(signature)
        assert '"prefer-vector-width"="512"' in compiled.inspect_llvm(signature)


def test_is_taken_on_a_cpu_in_float32_with_shared_dispersion(monkeypatch):
    x, parameters = _case(5, inflated=True)
    taken = []
    monkeypatch.setattr(_count_log_likelihood, "fused_log_likelihood", lambda *_: taken.append(1))
    logits, exposure, *others = parameters.values()

    def evaluate(dispersion, zi_logits):
        options = {"log_dispersion": dispersion, "zi_logits": zi_logits}
        _count_log_likelihood.count_log_likelihood(x, logits, exposure, **options)
        return len(taken)

    assert evaluate(*others) == 1
    assert evaluate(others[0], None) == 2
    assert evaluate(others[0].expand(7, -1), None) == 2
    assert evaluate(None, None) == 2
