import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from scgauge.nn import CovariateLinear, FullyConnected, SparseRows

pytestmark = pytest.mark.quick


def test_covariate_linear_equals_a_linear_layer_on_joined_one_hot_codes():
    layer = CovariateLinear(5, 7, (3, 2)).double()
    x = torch.randn(11, 5, dtype=torch.float64)
    codes = [torch.arange(11) % 3, torch.arange(11) % 2]
    joined = torch.cat([x, one_hot(codes[0], 3), one_hot(codes[1], 2)], dim=1)
    weight = torch.cat([layer.linear.weight, layer.effects[0].weight.T, layer.effects[1].weight.T], dim=1)
    expected = nn.functional.linear(joined, weight, layer.linear.bias)
    torch.testing.assert_close(layer(x, codes), expected)


@torch.no_grad()
def test_initial_spread_is_that_of_a_linear_layer_on_the_joined_input():
    layer = CovariateLinear(400, 500, (100,))
    reference = nn.Linear(500, 500)
    for parameter in layer.parameters():
        assert parameter.abs().max() <= reference.weight.abs().max() * 1.001
        # Uniform on (-b, b) has standard deviation b / sqrt(3); 500 draws or more know it within 15 %.
        assert float(parameter.std()) == pytest.approx(float(reference.weight.std()), rel=0.15)


def test_wrong_number_of_covariates_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        CovariateLinear(2, 2, (3,))(torch.ones(4, 2), [])


@pytest.mark.parametrize("training", [True, False])
def test_several_samples_are_normalised_as_more_cells(training):
    layers = FullyConnected(4, 6, n_layers=2, n_categories=(2,)).train(training)
    x, code = torch.randn(3, 8, 4), torch.arange(8) % 2
    together = layers(x, [code])
    again = FullyConnected(4, 6, n_layers=2, n_categories=(2,)).train(training)
    again.load_state_dict(layers.state_dict())
    flat = again(x.reshape(24, 4), [code.repeat(3)])
    torch.testing.assert_close(together.reshape(24, 6), flat)


def test_covariates_reach_later_layers_only_if_injected():
    injected = FullyConnected(4, 6, n_layers=2, n_categories=(2,), inject_covariates=True)
    first_only = FullyConnected(4, 6, n_layers=2, n_categories=(2,), inject_covariates=False)
    assert [linear.n_covariates for linear in injected.linears] == [1, 1]
    assert [linear.n_covariates for linear in first_only.linears] == [1, 0]
    assert first_only(torch.randn(5, 4), [torch.zeros(5, dtype=torch.long)]).shape == (5, 6)


@pytest.mark.parametrize("density", [0.05, 0.15, 0.6])
def test_layer_on_sparse_cells_is_that_on_dense_ones(density):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.poisson(2.0, (7, 30)) * (rng.random((7, 30)) < density), dtype=torch.float32)
    x[3] = 0
    layer = CovariateLinear(30, 4, (2,))
    codes = [torch.tensor([0, 1, 1, 0, 0, 1, 0])]
    outputs, gradients = [], []
    for cells in (x, SparseRows.from_dense(x)):
        layer.zero_grad()
        outputs.append(layer(cells, codes))
        outputs[-1].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
    torch.testing.assert_close(outputs[1], outputs[0])
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(found, expected)
