import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import spatial
from scipy.stats import ortho_group

from scgauge.metrics import linear_cka, procrustes


def fixture():
    i, j = np.arange(1, 41)[:, None], np.arange(1, 6)[None, :]
    x = np.sin(0.7 * i * j + j**2) + 0.8 * (j % 2) * (i > 20)
    i = i[:, 0]
    return x, np.stack([x[:, 0] + 0.3 * np.sin(1.3 * i), x[:, 1] + 0.3 * np.cos(2.1 * i)], axis=1)


def cloud(n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_disparity_is_that_of_scipy_and_vegan():
    x, z = fixture()
    padded = np.pad(z, ((0, 0), (0, 3)))
    theirs = spatial.procrustes(x, padded)[2]
    np.testing.assert_allclose(procrustes(x, z).disparity, theirs, rtol=1e-12)
    np.testing.assert_allclose(procrustes(z, x).disparity, theirs, rtol=1e-12)
    # vegan 2.6-4, symmetric sum of squares of the first two columns against z
    np.testing.assert_allclose(procrustes(x[:, :2], z).disparity, 0.0719081981140612, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_aligned_points_are_those_of_scipy_in_the_units_of_the_reference(seed):
    x, y = cloud(seed=seed), cloud(seed=seed + 100)
    found = procrustes(x, y)
    _, moved, disparity = spatial.procrustes(x, y)
    size = np.linalg.norm(x - x.mean(axis=0))
    np.testing.assert_allclose(found.aligned, moved * size + x.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.disparity, disparity, rtol=1e-9)
    left = ((found.aligned - x) ** 2).sum() / size**2
    np.testing.assert_allclose(left, found.disparity, rtol=1e-9)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_rotation_scale_and_place_change_nothing(seed, scale):
    x, y = cloud(seed=seed), cloud(seed=seed + 1)
    turned = scale * y @ ortho_group.rvs(3, random_state=seed) + 7
    np.testing.assert_allclose(procrustes(x, turned).disparity, procrustes(x, y).disparity, rtol=1e-7)
    np.testing.assert_allclose(linear_cka(x, turned), linear_cka(x, y), rtol=1e-7)
    assert procrustes(y, turned).disparity < 1e-10
    assert linear_cka(y, turned) == pytest.approx(1)


def test_cka_is_the_normalised_hsic_of_linear_kernels():
    x, y = cloud(d=6), cloud(d=2, seed=3)
    y += x[:, :2]
    centre = np.eye(40) - 1 / 40
    kernels = [centre @ (part @ part.T) @ centre for part in (x, y)]
    hsic = [[(one * other).sum() for other in kernels] for one in kernels]
    np.testing.assert_allclose(linear_cka(x, y), hsic[0][1] / np.sqrt(hsic[0][0] * hsic[1][1]), rtol=1e-10)


@pytest.mark.parametrize("function", [procrustes, linear_cka])
def test_bad_input(function):
    with pytest.raises(ValueError, match="40 points and `y` 39"):
        function(cloud(), cloud()[:-1])
    with pytest.raises(ValueError, match="one place"):
        function(cloud(), np.ones((40, 2)))
    with pytest.raises(ValueError, match="NaN"):
        function(cloud(), np.full((40, 2), np.nan))
