import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from scgauge._core.rng import seeded
from scgauge.metrics import integrated_gradients

# captum 0.9.0 in the network whose weights are given by formula: two cells, two outputs, baseline 0, 50 nodes.
X = [[5.0, 0, 2, 1], [0, 3, 7, 2]]
EXPECTED = {
    0: [
        [0.009586841935003563, 0.0, 0.2173112682065916, 0.21903189802914216],
        [0.0, -0.4447189968480904, 0.38854969483518986, 0.37833023902771573],
    ],
    1: [
        [0.292457629433831, 0.0, -0.37420515833797074, -0.18195282802084548],
        [0.0, 0.3328959834218451, -0.6969495279321165, -0.23429681970329214],
    ],
}


def fixture_network(x):
    w1 = torch.tensor([[((3 * i + 5 * j) % 7 - 3) / 4 for j in range(4)] for i in range(3)], dtype=torch.float64)
    w2 = torch.tensor([[((2 * i + 3 * j) % 5 - 2) / 3 for j in range(3)] for i in range(2)], dtype=torch.float64)
    hidden = torch.nn.functional.softplus(torch.log1p(x) @ w1.T + torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    return hidden @ w2.T + torch.tensor([0, 0.5], dtype=torch.float64)


def test_numbers_of_captum_for_the_network_given_by_formula():
    x = torch.tensor(X, dtype=torch.float64)
    found = integrated_gradients(fixture_network, x, baseline=torch.zeros_like(x))
    for target, expected in EXPECTED.items():
        # captum keeps its weights in float32.
        np.testing.assert_allclose(found.attributions[:, target], expected, atol=1e-7)
    np.testing.assert_allclose(found.change[:, 0], [0.445930007401684, 0.3221609364544966], rtol=1e-12)
    np.testing.assert_allclose(found.attributions.sum(2) - found.change, found.completeness, atol=1e-15)


def test_a_network_with_kinks_equals_captum_and_steps_double_until_it_is_complete():
    with seeded(0):
        network = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).double()
        x, start = torch.randn(9, 30, dtype=torch.float64), torch.randn(1, 30, dtype=torch.float64)
    found = integrated_gradients(network, x, baseline=start, n_steps=7)
    for target in range(3):
        expected = IntegratedGradients(network).attribute(x, start, target=target, n_steps=7)
        np.testing.assert_allclose(found.attributions[:, target].detach(), expected.detach(), atol=1e-7)
    assert found.error.max() > 0.001
    better = integrated_gradients(network, x, baseline=start, n_steps=7, tolerance=0.001)
    assert better.error.max() <= 0.001
    assert better.n_steps in {14, 28, 56, 112, 224, 448, 896}
    capped = integrated_gradients(network, x, baseline=start, n_steps=7, tolerance=0.0, max_steps=20)
    assert capped.n_steps == 20


def test_linear_functions_are_exact_with_one_node():
    weight = torch.randn(5, 2, dtype=torch.float64)
    x, start = torch.randn(2, 4, 5, dtype=torch.float64)
    found = integrated_gradients(lambda rows: rows @ weight, x, baseline=start, n_steps=1)
    np.testing.assert_allclose(found.attributions, weight.T * (x - start)[:, None, :], rtol=1e-12)


def test_pieces_of_the_path_change_nothing(monkeypatch):
    x = torch.rand(6, 4, dtype=torch.float64)
    whole = integrated_gradients(fixture_network, x, baseline=torch.zeros_like(x))
    monkeypatch.setattr("scgauge.metrics._integrated_gradients._NUMBERS_AT_ONCE", 7 * 24)
    pieces = integrated_gradients(fixture_network, x, baseline=torch.zeros_like(x))
    np.testing.assert_allclose(pieces.gradients, whole.gradients, rtol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="n_steps=0"):
        integrated_gradients(fixture_network, torch.zeros(1, 4), baseline=torch.zeros(1, 4), n_steps=0)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        integrated_gradients(fixture_network, torch.zeros(4), baseline=torch.zeros(4))
