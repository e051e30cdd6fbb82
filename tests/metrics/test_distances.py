import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist

from scgauge.metrics._distances import BLOCK_ROWS, distance_sum, euclidean, iter_distances, rows_per_block


@pytest.mark.parametrize("offset", [0.0, 1e6], ids=["centred", "far-from-origin"])
@pytest.mark.parametrize("spread", [1.0, 1e-6], ids=["one-cloud", "two-tight-clouds"])
def test_distances_equal_scipy(offset, spread):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 7)) * spread + offset, rng.normal(size=(20, 7)) * spread + offset
    y[10:] += 100
    # The documented relative error of 1e-11.
    np.testing.assert_allclose(euclidean(x, y), cdist(x, y), rtol=1e-11)


def test_equal_points_are_at_distance_zero_exactly():
    x = np.random.default_rng(0).normal(size=(40, 50)) + 1000
    assert (np.diag(euclidean(x, x.copy())) == 0).all()


@given(n=st.integers(1, 12), m=st.integers(1, 12), block=st.integers(1, 15), kind=st.sampled_from(["dense", "csr"]))
def test_blocks_cover_all_pairs(n, m, block, kind):
    rng = np.random.default_rng(n * 100 + m)
    x, y = rng.poisson(1.0, (n, 3)), rng.poisson(1.0, (m, 3))
    left, right = (sparse.csr_matrix(x), sparse.csr_matrix(y)) if kind == "csr" else (x, y)
    # Sums of at most 144 distances in another order.
    np.testing.assert_allclose(distance_sum(left, right, block_rows=block), cdist(x, y).sum(), rtol=1e-12)
    np.testing.assert_allclose(distance_sum(left, block_rows=block), cdist(x, x).sum(), rtol=1e-12)


def test_within_a_sample_blocks_below_the_diagonal_are_left_out():
    blocks = [(rows.start, columns.start) for rows, columns, _ in iter_distances(np.ones((5, 2)), block_rows=2)]
    assert blocks == [(0, 0), (0, 2), (0, 4), (2, 2), (2, 4), (4, 4)]


def test_block_shrinks_with_the_number_of_columns():
    assert rows_per_block(10) == BLOCK_ROWS
    assert rows_per_block(20_000) == 419
    assert rows_per_block(10**9) == 64
