"""Penalties of the Jacobian against the Jacobian that automatic differentiation builds."""

import numpy as np
import pytest
import torch

from scgauge.nn import ACTIVATIONS, LayerStack, TiedStack, hutchinson_jacobian_norm, layer_jacobian_norm


def jacobian_norms(function, x):
    jacobians = torch.func.vmap(torch.func.jacrev(function))(x)
    return jacobians.square().sum((1, 2))


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(7, 6)))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_closed_form_of_one_layer_is_the_jacobian(x, activation):
    stack = LayerStack([6, 4], last=activation).double()
    layer = stack.linears[0]
    found = layer_jacobian_norm(layer.weight, layer(x), ACTIVATIONS[activation])
    torch.testing.assert_close(found, jacobian_norms(stack, x), rtol=1e-12, atol=1e-12)


def test_the_published_form_for_a_sigmoid(x):
    layer = torch.nn.Linear(6, 4).double()
    h = torch.sigmoid(layer(x))
    expected = ((h * (1 - h)) ** 2 * layer.weight.square().sum(1)).sum(1)
    torch.testing.assert_close(layer_jacobian_norm(layer.weight, layer(x), torch.sigmoid), expected)


def test_hutchinson_is_unbiased(x):
    stack = LayerStack([6, 5, 3], activation="tanh").double()
    at = x.clone().requires_grad_()
    draws = torch.stack([hutchinson_jacobian_norm(stack(at), at).detach() for _ in range(1500)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - jacobian_norms(stack, x)).abs() < 5 * error).all()


def test_hutchinson_with_all_directions_of_one_output_is_exact(x):
    stack = LayerStack([6, 5, 1], activation="sigmoid").double()
    at = x.clone().requires_grad_()
    # One output: every sign gives the same square.
    torch.testing.assert_close(hutchinson_jacobian_norm(stack(at), at), jacobian_norms(stack, x))


@pytest.mark.parametrize("estimate", ["closed form", "hutchinson"])
def test_the_penalty_has_the_gradient_of_the_jacobian(x, estimate):
    stack = LayerStack([6, 1] if estimate == "closed form" else [6, 5, 1], activation="tanh", last="tanh").double()
    at = x.clone().requires_grad_()
    if estimate == "closed form":
        layer = stack.linears[0]
        penalty = layer_jacobian_norm(layer.weight, layer(at), torch.tanh)
    else:
        penalty = hutchinson_jacobian_norm(stack(at), at)
    weight = stack.linears[0].weight
    (found,) = torch.autograd.grad(penalty.sum(), weight)
    step = torch.zeros_like(weight)
    step[0, 2] = 1e-6
    with torch.no_grad():
        weight += step
        above = jacobian_norms(stack, x).sum()
        weight -= 2 * step
        below = jacobian_norms(stack, x).sum()
    # central difference: truncation 1e-12, rounding about 1e-9
    assert float(found[0, 2]) == pytest.approx(float(above - below) / 2e-6, rel=1e-5, abs=1e-7)


def test_a_tied_decoder_owns_intercepts_alone(x):
    encoder = LayerStack([6, 4, 2], activation="tanh").double()
    decoder = TiedStack(encoder).double()
    assert [name for name, _ in decoder.named_parameters()] == ["biases.0", "biases.1"]
    z = encoder(x)
    first, second = (layer.weight for layer in encoder.linears)
    torch.testing.assert_close(decoder(z), torch.tanh(z @ second) @ first)
