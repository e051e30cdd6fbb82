"""Tests of shifts between two samples against closed forms and other programs."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist, pdist
from scipy.stats import fisher_exact, hypergeom, kstest, norm

from scgauge.metrics import conditional_shift, excess_loss, label_shift, mean_decomposition, two_sample_test


def test_label_shift_equals_fisher_and_exact_enumeration():
    x, y = np.repeat(["a", "b"], [12, 8]), np.repeat(["a", "b"], [4, 11])
    result = label_shift(x, y, n_permutations=20_000, rng=0)
    expected = fisher_exact([[12, 8], [4, 11]]).pvalue
    np.testing.assert_allclose(result.labels["pvalue"], expected, rtol=1e-9)
    # Two labels: the exact law of the table is hypergeometric, and so is that of both statistics.
    support = np.arange(1, 17)
    mass = hypergeom(35, 16, 20).pmf(support)
    distance = np.abs(support / 20 - (16 - support) / 15)
    np.testing.assert_allclose(result.chance, mass @ distance, rtol=0.02)
    seen = abs(12 / 20 - 4 / 15)
    np.testing.assert_allclose(result.total_variation, seen)
    np.testing.assert_allclose(result.pvalue, mass[distance >= seen - 1e-12].sum(), rtol=0.1)


def test_label_shift_is_level_under_the_null():
    rng = np.random.default_rng(0)
    draws = [rng.choice(list("abcd"), (2, 80), p=[0.6, 0.3, 0.08, 0.02]) for _ in range(60)]
    pvalues = [label_shift(*pair, n_permutations=199, rng=seed).pvalue for seed, pair in enumerate(draws)]
    # Discrete p-values lie above the uniform ones: 5 % and 20 % are not exceeded beyond four standard errors.
    for level in (0.05, 0.2):
        assert np.mean(np.array(pvalues) <= level) < level + 4 * np.sqrt(level * (1 - level) / 60)
    assert np.mean(np.array(pvalues) <= 0.5) > 0.3


def test_a_label_of_one_sample_counts():
    result = label_shift(["a"] * 30, ["a"] * 15 + ["b"] * 15, rng=0)
    assert result.labels.set_index("label").loc["b", ["n_x", "n_y"]].tolist() == [0, 15]
    assert result.pvalue == 0.001


def labelled(n=120, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    return rng.normal(size=(n, 3)) + 3 * (labels == "b")[:, None], labels


def test_conditional_shift_is_the_sum_of_tests_of_labels():
    (x, first), (y, second) = labelled(), labelled(seed=1)
    result = conditional_shift(x, y, x_labels=first, y_labels=second, n_permutations=19, min_points=5, rng=0)
    own = [two_sample_test(x[first == k], y[second == k], n_permutations=0).statistic for k in "abc"]
    np.testing.assert_allclose(result.labels["statistic"], own)
    np.testing.assert_allclose(result.statistic, sum(own))


def test_conditional_shift_ignores_proportions_and_sees_cells():
    (x, first), (y, second) = labelled(400), labelled(400, seed=1)
    keep = (second != "b") | (np.arange(400) % 3 == 0)
    same = conditional_shift(x, y[keep], x_labels=first, y_labels=second[keep], rng=0)
    assert same.pvalue > 0.05
    assert two_sample_test(x, y[keep], rng=0).pvalue == 0.005
    moved = conditional_shift(x, y + (second == "c")[:, None], x_labels=first, y_labels=second, rng=0)
    table = moved.labels.set_index("label")
    assert moved.pvalue < 0.01
    assert (table["padj"] < 0.05).to_dict() == {"a": False, "b": False, "c": True}
    # Energy coefficient of a shift, against the mean distances themselves.
    points = x[first == "c"], (y + 1)[second == "c"]
    between = cdist(*points).mean()
    expected = 1 - (pdist(points[0]).mean() + pdist(points[1]).mean()) / (2 * between)
    np.testing.assert_allclose(table.loc["c", "effect"], expected)


def test_labels_with_few_points_are_not_tested():
    (x, first), (y, second) = labelled(), labelled(seed=1)
    first[first == "c"] = "a"
    table = conditional_shift(x, y, x_labels=first, y_labels=second, rng=0).labels.set_index("label")
    assert np.isnan(table.loc["c", "pvalue"])
    assert table.loc[["a", "b"], "padj"].notna().all()
    with pytest.raises(ValueError, match="No label has 500 points"):
        conditional_shift(x, y, x_labels=first, y_labels=second, min_points=500)


def concept(seed, *, moved=0.0, turned=False, n=300):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.normal([moved, 0], 1, (n, 2))
    first = x[:, 0] + 0.7 * rng.logistic(size=n) > 0
    second = (y[:, 1] if turned else y[:, 0]) + 0.7 * rng.logistic(size=n) > 0
    return excess_loss(x, y, x_labels=first, y_labels=second, rng=seed)


def test_excess_loss_sees_concepts_and_not_positions():
    moved = concept(0, moved=1.0)
    assert abs(moved.excess) < 3 * moved.se
    # Cells moved away from the border: the loss itself is smaller there, and the weights say so.
    assert moved.loss_y < moved.loss_x - 0.05
    assert abs(moved.weighted_loss_x - moved.loss_y) < abs(moved.loss_x - moved.loss_y)
    assert moved.effective_size < 250
    turned = concept(0, turned=True)
    assert turned.excess > 5 * turned.se
    assert turned.pvalue < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_excess_loss_is_level(moved):
    results = [concept(seed, moved=moved) for seed in range(200)]
    z = np.array([result.excess / result.se for result in results])
    assert kstest(z, "norm").pvalue > 0.001
    assert np.mean([result.pvalue <= 0.05 for result in results]) < 0.1


def test_weights_are_the_ratio_of_densities():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 1)), rng.normal(size=(3000, 1)) + 1
    result = excess_loss(x, y, x_labels=x[:, 0] > 0, y_labels=y[:, 0] > 0, rng=0)
    # Two normal laws with unit variance and means 0 and 1: log ratio x - 1/2.
    np.testing.assert_allclose(np.polyfit(x[:, 0], np.log(result.weights), 1), [1, -0.5], atol=0.1)
    # The mean of the squared ratio is e.
    np.testing.assert_allclose(result.effective_size / 3000, np.exp(-1), atol=0.08)
    # Overlap of the two: twice the mass of a standard normal beyond 1/2.
    np.testing.assert_allclose(result.overlap, 2 * norm.sf(0.5), atol=0.03)


def test_labels_that_the_first_sample_lacks_are_left_out():
    x, labels = labelled()
    other = labels.copy()
    other[:20] = "new"
    result = excess_loss(x, x, x_labels=labels, y_labels=other, rng=0)
    assert result.n_used_y == 100
    with pytest.raises(ValueError, match="found 1 labels"):
        excess_loss(x, x, x_labels=["a"] * 120, y_labels=["a"] * 120)


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_decomposition_is_exact(as_matrix):
    (x, first), (y, second) = labelled(), labelled(90, seed=1)
    second[second == "c"] = "d"  # a label that the other lacks, in both
    table = mean_decomposition(as_matrix(x), as_matrix(y), x_labels=first, y_labels=second)
    parts = table.pivot_table(index="variable", columns="part", values="difference", aggfunc="sum")
    np.testing.assert_allclose(parts["total"], y.mean(0) - x.mean(0))
    np.testing.assert_allclose(parts["total"], parts["composition"] + parts["within"])
    labels = table[table["part"] == "label"].set_index(["label", "variable"])["difference"]
    assert set(labels.index.get_level_values(0)) == {"a", "b"}
    np.testing.assert_allclose(labels["b"], y[second == "b"].mean(0) - x[first == "b"].mean(0))


def test_errors_of_the_decomposition_are_those_of_resampling():
    (x, first), (y, second) = labelled(400), labelled(300, seed=1)
    table = mean_decomposition(x, y, x_labels=first, y_labels=second)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(80):
        i, j = rng.integers(400, size=400), rng.integers(300, size=300)
        draws.append(mean_decomposition(x[i], y[j], x_labels=first[i], y_labels=second[j])["difference"])
    spread = pd.DataFrame(draws).std().to_numpy()
    error = (table["difference"] / table["z"]).to_numpy()
    # 80 draws: a standard deviation is known to about 8 %.
    np.testing.assert_allclose(error, spread, rtol=0.35)


def test_samples_and_labels_must_fit():
    x, labels = labelled()
    with pytest.raises(ValueError, match="one sample only"):
        mean_decomposition(x, x, x_labels=labels)
    with pytest.raises(ValueError, match="3 columns and `y` has 2"):
        mean_decomposition(x, x[:, :2])
    with pytest.raises(ValueError, match="3 columns and `y` has 2"):
        excess_loss(x, x[:, :2], x_labels=labels, y_labels=labels)
    for function in (conditional_shift, excess_loss):
        with pytest.raises(ValueError, match="120 rows and 2 labels"):
            function(x, x, x_labels=labels, y_labels=["a", "b"])
    with pytest.raises(ValueError, match="two labels are needed"):
        label_shift(["a"], ["a"])
    with pytest.raises(ValueError, match="missing values"):
        label_shift(["a", None], ["a"])
    with pytest.raises(ValueError, match="`y_labels` needs one label for each point, and at least one"):
        label_shift(["a"], [])
