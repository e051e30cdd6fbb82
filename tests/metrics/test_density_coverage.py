import contextlib
import io

import numpy as np
import prdc
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scgauge.metrics import density_coverage, neighbor_mixing
from scgauge.metrics._neighbors import nearest


def fixture_points():
    i, j = np.arange(1, 41)[:, None], np.arange(1, 6)[None, :]
    x = np.sin(0.7 * i * j + j**2) + 0.8 * (j % 2) * (i > 20)
    k = np.arange(1, 31)[:, None]
    return x, np.cos(0.9 * k * j - j) + 0.05 * j


def test_numbers_of_the_fixture():
    result = density_coverage(*fixture_points(), n_neighbors=5)
    expected = (0.6333333333333333, 0.475, 0.6066666666666667, 0.375)
    assert (result.precision, result.recall, result.density, result.coverage) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "k"), [(50, 50, 3), (80, 30, 10)])
def test_equals_prdc(n, m, k):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 4)), rng.normal(size=(m, 4)) * 0.8
    with contextlib.redirect_stdout(io.StringIO()):  # prdc prints
        expected = prdc.compute_prdc(x, y, nearest_k=k)
    result = vars(density_coverage(x, y, n_neighbors=k))
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_blocks_and_sparse_input_change_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.poisson(1.0, (60, 8)), rng.poisson(1.3, (40, 8))
    expected = density_coverage(x, y)
    assert density_coverage(x, y, block_rows=7) == expected
    assert density_coverage(sparse.csr_matrix(x), sparse.csc_array(y)) == expected


def test_expectations_for_equal_distributions():
    rng = np.random.default_rng(1)
    draws = [density_coverage(rng.normal(size=(100, 3)), rng.normal(size=(100, 3))) for _ in range(40)]
    density = np.array([draw.density for draw in draws])
    assert abs(density.mean() - 1) < 4 * density.std(ddof=1) / np.sqrt(40)
    # Coverage: 1 - (n-1)...(n-k) / ((2n-1)...(2n-k)), the chance that the k nearest of all are all of x.
    n, k = 100, 5
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    coverage = np.array([draw.coverage for draw in draws])
    assert abs(coverage.mean() - expected) < 4 * coverage.std(ddof=1) / np.sqrt(40)


def test_mixing_is_one_for_equal_distributions_and_small_for_different_ones():
    rng = np.random.default_rng(2)
    values = [neighbor_mixing(rng.normal(size=(60, 3)), rng.normal(size=(90, 3))).mixing for _ in range(40)]
    assert abs(np.mean(values) - 1) < 4 * np.std(values, ddof=1) / np.sqrt(40)
    assert neighbor_mixing(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 3).mixing < 0.3


def test_mixing_by_hand():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2))
    pooled, own = np.concatenate([x, y]), np.repeat([0, 1], [20, 30])
    found = NearestNeighbors(n_neighbors=5).fit(pooled).kneighbors(return_distance=False)
    result = neighbor_mixing(x, y, n_neighbors=5)
    assert result.same == pytest.approx((own[found] == own[:, None]).mean())
    assert result.expected == pytest.approx((20 * 19 + 30 * 29) / (50 * 49))


def test_copies_are_neighbours_at_distance_zero_exactly():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 20)) + 1000
    distances, rows = nearest(x[10:20], x)
    np.testing.assert_array_equal(distances, 0)
    np.testing.assert_array_equal(rows[:, 0], np.arange(10, 20))
    assert (nearest(x)[0] > 0).all()


@pytest.mark.parametrize("function", [density_coverage, neighbor_mixing])
def test_bad_input(function):
    x, y = fixture_points()
    with pytest.raises(ValueError, match="n_neighbors=30 needs to be from 1 to 29"):
        function(x, y, n_neighbors=30)
    with pytest.raises(ValueError, match="`x` has 5 columns and `y` has 4"):
        function(x, y[:, :4])
