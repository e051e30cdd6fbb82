import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.neighbors import NearestNeighbors

from scgauge.metrics import embedding_distortion


def square(n=1500, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=(n, 2))


def inside(points, by=0.75):
    return np.abs(points).max(axis=1) < by


def test_equal_to_the_formula_with_the_laplacian():
    """H = c/2 (L(y_a y_b) - y_a L y_b - y_b L y_a), cell by cell with dense matrices."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)), rng.normal(size=(80, 3))
    found = embedding_distortion(x, y, n_neighbors=12, bandwidth=1.7)
    distances, neighbors = NearestNeighbors(n_neighbors=12).fit(x).kneighbors()
    kernel = np.zeros((80, 80))
    for i in range(80):
        kernel[i, neighbors[i]] = np.exp(-((distances[i] / 1.7) ** 2))
    kernel = np.maximum(kernel, kernel.T)
    kernel /= np.outer(kernel.sum(1), kernel.sum(1))
    walk = kernel / kernel.sum(1, keepdims=True)
    laplacian = walk - np.eye(80)
    size = (walk * ((x[:, None] - x[None]) ** 2).sum(-1)).sum(1)
    for a in range(3):
        for b in range(3):
            ya, yb = y[:, a], y[:, b]
            expected = (laplacian @ (ya * yb) - ya * (laplacian @ yb) - yb * (laplacian @ ya)) * 3 / size
            np.testing.assert_allclose(found.metric[:, a, b], expected, rtol=1e-9, atol=1e-12)
    assert found.bandwidth == 1.7


def test_an_embedding_that_keeps_distances():
    x = square()
    turned = 5 * x @ ortho_group.rvs(2, random_state=0) + 3
    found = embedding_distortion(x, turned)
    np.testing.assert_allclose(np.trace(found.metric, axis1=1, axis2=2), 2 * 25, rtol=1e-9)
    assert np.median(found.anisotropy[inside(x)]) < 1.25
    assert np.abs(found.log_area[inside(x)]).max() < 0.2
    assert found.broken.max() == 0
    high = np.pad(x, ((0, 0), (0, 8))) @ ortho_group.rvs(10, random_state=1)
    np.testing.assert_allclose(embedding_distortion(high, turned).metric, found.metric, rtol=1e-6, atol=1e-9)


def test_a_stretch_and_its_direction():
    x = square()
    found = embedding_distortion(x, x * [1.0, 4.0])
    assert np.median(found.anisotropy[inside(x)]) == pytest.approx(4, rel=0.1)
    long_axis = np.linalg.eigh(found.metric[inside(x)])[1][:, :, 1]
    assert np.median(np.abs(long_axis[:, 1])) > 0.99


def test_areas_of_a_conformal_map():
    """Under z -> z^2 areas grow by |2z|^2 and circles stay circles."""
    x = square(3000) * 0.5 + [1.2, 0.0]
    z = x[:, 0] + 1j * x[:, 1]
    found = embedding_distortion(x, np.column_stack([(z**2).real, (z**2).imag]), n_neighbors=30)
    rows = inside((x - [1.2, 0.0]) / 0.5)
    expected = np.log(np.abs(2 * z[rows]) ** 2)
    slope, _ = np.polyfit(expected, found.log_area[rows], 1)
    assert slope == pytest.approx(1, abs=0.1)
    assert np.std(found.log_area[rows] - slope * expected) < 0.1
    assert np.median(found.anisotropy[rows]) < 1.3


def test_a_torn_sheet_is_broken_along_the_tear():
    x = square()
    y = x + np.where(x[:, :1] > 0, 10.0, 0.0)
    found = embedding_distortion(x, y, n_neighbors=20)
    near = np.abs(x[:, 0]) < 0.05
    assert found.broken[near].mean() > 0.2
    assert found.broken[np.abs(x[:, 0]) > 0.5].max() == 0


def test_an_embedding_on_a_line():
    x = square(300)
    found = embedding_distortion(x, np.column_stack([x[:, 0], x[:, 0]]), n_neighbors=20)
    assert (found.log_area == -np.inf).all()
    assert (found.anisotropy == np.inf).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"embedding": square(99)}, "same points"),
        ({"embedding": np.ones((100, 2))}, "one place"),
        ({"embedding": np.full((100, 2), np.nan)}, "NaN"),
        ({"n_neighbors": 50}, "below half"),
        ({"n_neighbors": 0}, "at least 1"),
        ({"bandwidth": 0.0}, "not positive"),
        ({"bandwidth": 1e-5}, "so small"),
        ({"reference": np.vstack([np.repeat(square(1, seed=5), 20, axis=0), square(80)])}, "20 points have 10 or more"),
    ],
)
def test_bad_input(change, match):
    arguments = {"reference": square(100), "embedding": square(100, seed=1), "n_neighbors": 10} | change
    with pytest.raises(ValueError, match=match):
        embedding_distortion(arguments.pop("reference"), arguments.pop("embedding"), **arguments)
