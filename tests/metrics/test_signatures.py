import numpy as np
import pytest
from scipy import stats

from scgauge.metrics import pareto_fronts, set_overlap


def test_fronts_against_the_definition():
    points = np.random.default_rng(0).integers(0, 6, (60, 2))

    def beats(a, b):
        return all(a >= b) and any(a > b)

    left, expected = set(range(60)), np.zeros(60, dtype=int)
    number = 0
    while left:
        number += 1
        front = {i for i in left if not any(beats(points[j], points[i]) for j in left)}
        expected[list(front)] = number
        left -= front
    np.testing.assert_array_equal(pareto_fronts(points), expected)


def test_overlap_is_fishers_test():
    members = np.random.default_rng(0).random((40, 5)) < [0.2, 0.3, 0.5, 0.1, 0.4]
    found = set_overlap(members)
    for i in range(5):
        for j in range(5):
            if i == j:
                continue
            a, b = members[:, i], members[:, j]
            table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
            expected = stats.fisher_exact(table, alternative="greater")
            assert found.shared[i, j] == table[0][0]
            assert found.odds_ratio[i, j] == pytest.approx(expected.statistic)
            assert found.pvalue[i, j] == pytest.approx(expected.pvalue)


def test_bad_input():
    with pytest.raises(ValueError, match="n_items, n_sets"):
        set_overlap(np.ones(3))
    with pytest.raises(ValueError, match="without NaN"):
        pareto_fronts([[np.nan, 1]])
