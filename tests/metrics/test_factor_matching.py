"""Matching of factors against all permutations."""

from itertools import permutations

import numpy as np
import pytest

from scgauge.metrics import match_loadings

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("seed", range(5))
def test_is_the_best_of_all_permutations(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(20, 4)), rng.normal(size=(20, 4))
    found = match_loadings(one, other)
    table = np.abs(np.corrcoef(one.T, other.T)[:4, 4:])
    best = max(permutations(range(4)), key=lambda order: sum(table[i, j] for i, j in enumerate(order)))
    assert tuple(found.match) == best
    np.testing.assert_allclose(np.abs(found.correlation), [table[i, j] for i, j in enumerate(best)])


def test_order_signs_and_scales_are_undone():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(30, 5))
    order, signs = rng.permutation(5), rng.choice([-1, 1], 5)
    found = match_loadings(one, one[:, order] * signs * 3 + 1)
    np.testing.assert_array_equal(order[found.match], np.arange(5))
    np.testing.assert_allclose(found.correlation, signs[found.match])


def test_different_numbers_of_factors():
    one = np.random.default_rng(0).normal(size=(30, 3))
    fewer = match_loadings(one, one[:, [2]])
    assert fewer.match.tolist() == [-1, -1, 0]
    assert np.isnan(fewer.correlation[:2]).all()
    more = match_loadings(one[:, [1]], one)
    assert more.match.tolist() == [1]


def test_a_constant_factor_resembles_nothing():
    one = np.column_stack((np.ones(10), np.arange(10)))
    np.testing.assert_allclose(np.abs(match_loadings(one, one).correlation), [0, 1])
