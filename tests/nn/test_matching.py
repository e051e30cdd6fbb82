"""Distances between clouds against independent implementations."""

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from scgauge.metrics import energy_distance
from scgauge.nn import MATCHINGS, make_matching
from scgauge.nn._matching import energy, mmd, sinkhorn, sliced


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


def weighted(n=30, m=40):
    x, y = clouds(n, m)
    weight = torch.tensor(np.random.default_rng(1).gamma(1, size=n))
    return x, y, weight / weight.sum()


def test_weighted_energy_and_mmd_equal_their_definitions():
    x, y, weight = (part.numpy() for part in weighted())
    others = np.full(len(y), 1 / len(y))

    def mean(values, a, b, *, within=False):
        pairs = np.outer(a, b) * (1 - np.eye(len(a)) if within else 1)
        return (pairs * values).sum() / pairs.sum()

    def compare(kernel):
        within = mean(kernel(x, x), weight, weight, within=True) + mean(kernel(y, y), others, others, within=True)
        return within - 2 * mean(kernel(x, y), weight, others)

    def laplace(a, b):
        return np.mean([np.exp(-cdist(a, b) / width) for width in (0.5, 1.0, 2.0, 4.0)], axis=0)

    found = [float(make_matching(name)(*weighted())) for name in ("energy", "mmd")]
    np.testing.assert_allclose(found, [-compare(cdist), compare(laplace)], rtol=1e-5)


def test_weighted_energy_is_that_of_the_weighted_law():
    """Few weighted points stand for a law; the same points drawn again by their weights are too narrow for it."""
    rng = np.random.default_rng(0)
    found, drawn = [], []
    for _ in range(400):
        x, y = (torch.tensor(rng.normal(size=(20, 1))) for _ in range(2))
        weight = torch.softmax(x[:, 0], 0)  # of a normal law: one that is shifted by 1
        found.append(float(energy(x, y + 1, weight)))
        drawn.append(float(energy(x[torch.tensor(rng.choice(20, 20, p=weight.numpy()))], y + 1)))
    error = np.std(found) / np.sqrt(400)
    assert abs(np.mean(found)) < 4 * error + 0.05
    assert np.mean(drawn) > np.mean(found) + 0.05


def test_weighted_sliced_equals_scipy_in_one_dimension():
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=80), rng.normal(1, 2, size=500), rng.gamma(1, size=80)
    clouds_of_one = (torch.tensor(part)[:, None] for part in (x, y))
    found = float(sliced(*clouds_of_one, torch.tensor(weight / weight.sum())))
    np.testing.assert_allclose(found, wasserstein_distance(x, y, u_weights=weight), rtol=0.02)


def test_weighted_sinkhorn_is_optimal_transport_and_equals_geomloss():
    x, y, weight = weighted(30, 30)
    exact = ot.emd2(weight.numpy(), [], cdist(x, y, "sqeuclidean") / 2)
    np.testing.assert_allclose(float(sinkhorn(x, y, weight, n_iterations=400)), exact, rtol=0.03)
    geomloss = pytest.importorskip("geomloss")
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=0.3, scaling=0.99, backend="tensorized")
    reference = loss(weight, x, torch.full((30,), 1 / 30, dtype=x.dtype), y)
    found = sinkhorn(x, y, weight, blur=0.3, n_iterations=400)
    np.testing.assert_allclose(float(found), float(reference), rtol=0.02)


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
