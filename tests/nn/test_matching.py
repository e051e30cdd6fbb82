"""Distances between clouds against independent implementations."""

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from scgauge.metrics import energy_distance
from scgauge.nn import MATCHINGS, make_matching
from scgauge.nn._matching import mmd, sinkhorn, sliced


def clouds(n=40, m=55, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, 3))), torch.tensor(rng.normal(0.7, 1.3, size=(m, 3)))


def test_energy_equals_the_metric():
    x, y = clouds()
    np.testing.assert_allclose(float(make_matching("energy")(x, y)), energy_distance(x, y), rtol=1e-6)


def test_mmd_equals_its_definition():
    x, y = (part.numpy() for part in clouds())

    def kernel(a, b):
        return np.mean([np.exp(-cdist(a, b) / width) for width in (0.5, 1.0, 2.0, 4.0)], axis=0)

    def within(a):
        values = kernel(a, a)
        np.fill_diagonal(values, 0)
        return values.sum() / (len(a) * (len(a) - 1))

    expected = within(x) + within(y) - 2 * kernel(x, y).mean()
    np.testing.assert_allclose(float(mmd(torch.tensor(x), torch.tensor(y))), expected, rtol=1e-5)


def test_sliced_equals_scipy_in_one_dimension():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 1)), rng.normal(1, 2, size=(80, 1))
    found = float(sliced(torch.tensor(x), torch.tensor(y)))
    np.testing.assert_allclose(found, wasserstein_distance(x[:, 0], y[:, 0]), rtol=0.02)


def test_sinkhorn_of_small_blur_is_optimal_transport():
    x, y = clouds(30, 30)
    exact = ot.emd2([], [], cdist(x, y, "sqeuclidean") / 2)
    np.testing.assert_allclose(float(sinkhorn(x, y, n_iterations=400)), exact, rtol=0.02)


def test_sinkhorn_equals_geomloss():
    geomloss = pytest.importorskip("geomloss")
    x, y = clouds(30, 40)
    reference = geomloss.SamplesLoss("sinkhorn", p=2, blur=0.3, scaling=0.99, backend="tensorized")(x, y)
    np.testing.assert_allclose(float(sinkhorn(x, y, blur=0.3, n_iterations=400)), float(reference), rtol=0.02)


@pytest.mark.parametrize("name", MATCHINGS)
def test_descending_a_distance_brings_clouds_together(name):
    x, y = clouds()
    matching = make_matching(name)
    shift = torch.zeros(3, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        matching(x + shift, y).backward()
        optimizer.step()
    np.testing.assert_allclose(shift.detach(), (y.mean(0) - x.mean(0)).numpy(), atol=0.3)


@pytest.mark.parametrize("name", MATCHINGS)
def test_gradients_are_finite_where_points_coincide(name):
    x = torch.zeros(5, 2, requires_grad=True)
    make_matching(name)(x, torch.zeros(5, 2)).backward()
    assert torch.isfinite(x.grad).all()


def test_unknown_distance():
    with pytest.raises(ValueError, match="matching='kl' was given; choose from"):
        make_matching("kl")
