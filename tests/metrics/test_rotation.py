"""Varimax against statsmodels and a grid in two dimensions."""

import numpy as np
import pytest
from statsmodels.multivariate.factor_rotation import rotate_factors

from scgauge.metrics import varimax

pytestmark = pytest.mark.quick


def criterion(loadings: np.ndarray) -> float:
    return float((loadings**2).var(0).sum())


def sparse_loadings(seed: int, n_genes: int = 60, n_factors: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    simple = np.zeros((n_genes, n_factors))
    simple[np.arange(n_genes), rng.integers(0, n_factors, n_genes)] = rng.normal(1, 0.3, n_genes)
    turn = np.linalg.qr(rng.normal(size=(n_factors, n_factors)))[0]
    return simple, simple @ turn


@pytest.mark.parametrize("seed", range(5))
def test_reaches_the_criterion_of_statsmodels(seed):
    _, turned = sparse_loadings(seed)
    noisy = turned + np.random.default_rng(seed).normal(0, 0.05, turned.shape)
    rotation = varimax(noisy)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(4), atol=1e-12)
    theirs, _ = rotate_factors(noisy, "varimax")
    assert criterion(noisy @ rotation) == pytest.approx(criterion(np.asarray(theirs)), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_finds_a_simple_structure(seed):
    simple, turned = sparse_loadings(seed)
    found = turned @ varimax(turned)
    overlap = np.abs(np.corrcoef(simple.T, found.T)[:4, 4:])
    assert overlap.max(1).min() > 0.999


def test_is_the_best_angle_of_a_plane():
    loadings = np.random.default_rng(3).normal(size=(30, 2)) ** 3
    angles = np.linspace(0, np.pi / 2, 20_001)
    grid = [criterion(loadings @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])) for a in angles]
    assert criterion(loadings @ varimax(loadings)) == pytest.approx(max(grid), rel=1e-7)


def test_one_factor_and_no_loadings():
    np.testing.assert_array_equal(np.abs(varimax(np.ones((5, 1)))), [[1.0]])
    assert np.isfinite(varimax(np.zeros((5, 2)))).all()


@pytest.mark.parametrize("bad", [np.full((3, 2), np.nan), np.ones(3), np.ones((0, 2))])
def test_bad_loadings(bad):
    with pytest.raises(ValueError, match="finite"):
        varimax(bad)
