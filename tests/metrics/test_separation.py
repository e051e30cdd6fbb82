import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples, silhouette_score

import scgauge

distance_ratio, silhouette = scgauge.metrics.distance_ratio, scgauge.metrics.silhouette


def draw_groups(n=90, p=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    return rng.normal(size=(n, p)) + 2.0 * (labels == "b")[:, None] - 1.0 * (labels == "c")[:, None], labels


def by_pairs(x, labels):
    """Every pair on its own, the slow way."""
    distances = cdist(x, x)
    upper = np.triu(np.ones_like(distances, dtype=bool), 1)
    same = labels[:, None] == labels[None, :]
    groups = {}
    for group in np.unique(labels):
        inside = labels == group
        pairs = distances[np.ix_(inside, inside)]
        within = pairs[np.triu_indices(len(pairs), 1)].mean()
        groups[group] = within, distances[np.ix_(inside, ~inside)].mean()
    return distances[upper & same].mean(), distances[upper & ~same].mean(), groups


@pytest.mark.parametrize("block_rows", [None, 1, 13])
def test_ratio_equals_the_loop_over_pairs(block_rows):
    x, labels = draw_groups()
    within, between, groups = by_pairs(x, labels)
    result = distance_ratio(x, labels, block_rows=block_rows)
    # Means of 4,005 distances, each with a relative error below 1e-11.
    np.testing.assert_allclose([result.within, result.between], [within, between], rtol=1e-10)
    np.testing.assert_allclose(result.ratio, within / between, rtol=1e-10)
    assert result.groups.tolist() == ["a", "b", "c"]
    assert result.n_points.tolist() == [(labels == group).sum() for group in "abc"]
    np.testing.assert_allclose(
        np.column_stack([result.group_within, result.group_between]), [groups[group] for group in "abc"], rtol=1e-10
    )
    np.testing.assert_allclose(result.group_ratio, result.group_within / result.group_between)


def test_matrix_of_mean_distances():
    x, labels = draw_groups()
    result = distance_ratio(x, labels)
    np.testing.assert_allclose(result.mean_distances, result.mean_distances.T, rtol=1e-12)
    np.testing.assert_allclose(
        result.mean_distances[0, 2], cdist(x[labels == "a"], x[labels == "c"]).mean(), rtol=1e-10
    )
    np.testing.assert_allclose(np.diag(result.mean_distances), result.group_within)


@given(seed=st.integers(0, 200), shift=st.floats(-20, 20), scale=st.floats(0.1, 10))
def test_ratio_does_not_change_with_order_place_or_unit(seed, shift, scale):
    x, labels = draw_groups(30, seed=seed)
    order = np.random.default_rng(seed).permutation(30)
    moved = distance_ratio(scale * (x[order] + shift), labels[order])
    np.testing.assert_allclose(moved.ratio, distance_ratio(x, labels).ratio, rtol=1e-9)


def test_random_labels_have_the_ratio_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    ratios = [distance_ratio(x, rng.integers(0, 3, 400)).ratio for _ in range(20)]
    assert abs(np.mean(ratios) - 1) < 5 * np.std(ratios) / np.sqrt(20)


def test_a_group_of_one_point_has_no_within():
    result = distance_ratio(np.array([[0.0], [1.0], [5.0]]), ["a", "a", "b"])
    assert np.isnan(result.group_within[1])
    assert np.isnan(result.group_ratio[1])
    assert (result.within, result.between, result.group_between[1]) == (1.0, 4.5, 4.5)


def test_groups_follow_the_order_of_the_categories_that_occur():
    labels = pd.Categorical(["x", "y", "x", "y"], categories=["y", "unused", "x"])
    assert distance_ratio(np.arange(4.0)[:, None], labels).groups.tolist() == ["y", "x"]
    assert silhouette(np.arange(4.0)[:, None], labels).groups.tolist() == ["y", "x"]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csr_array, torch.as_tensor])
def test_kinds_of_input(kind):
    x = np.random.default_rng(0).poisson(1.0, (40, 6))
    labels = np.repeat(["a", "b"], 20)
    assert distance_ratio(kind(x), labels).ratio == pytest.approx(distance_ratio(x, labels).ratio, rel=1e-12)
    assert silhouette(kind(x), labels).score == pytest.approx(silhouette_score(x, labels), rel=1e-9)


def test_silhouette_equals_sklearn():
    x, labels = draw_groups()
    result = silhouette(x, labels)
    widths = silhouette_samples(x, labels)
    # The same formula on centred points.
    np.testing.assert_allclose(result.score, widths.mean(), rtol=1e-9)
    np.testing.assert_allclose(result.group_score, [widths[labels == group].mean() for group in "abc"], rtol=1e-9)
    assert result.n_points == 90


def test_silhouette_keeps_its_digits_far_from_the_origin():
    x, labels = draw_groups()
    np.testing.assert_allclose(silhouette(x + 1e7, labels).score, silhouette_score(x, labels), rtol=1e-6)


def test_silhouette_of_a_sample():
    x, labels = draw_groups(600)
    result = silhouette(x, labels, n_max=100, rng=0)
    assert result.n_points == 100
    assert result.score == silhouette(x, labels, n_max=100, rng=0).score
    assert result.score != silhouette(x, labels, n_max=100, rng=1).score
    samples = [silhouette(x, labels, n_max=100, rng=seed).score for seed in range(20)]
    assert abs(np.mean(samples) - silhouette_score(x, labels)) < 5 * np.std(samples) / np.sqrt(20)


@pytest.mark.parametrize("function", [distance_ratio, silhouette])
@pytest.mark.parametrize(
    ("x", "labels", "match"),
    [
        pytest.param(np.ones((3, 2)), ["a"] * 3, "one group only, 'a'; at least two", id="one-group"),
        pytest.param(np.ones((1, 2)), ["a"], "one group only", id="one-cell"),
        pytest.param(np.ones((2, 2)), ["a", "b"], "Each of the 2 groups has one point only", id="all-alone"),
        pytest.param(np.ones((3, 2)), ["a", "b"], r"each of the 3 rows; found the shape \(2,\)", id="too-few-labels"),
        pytest.param(np.ones((3, 2)), ["a", None, "b"], "has 1 missing values", id="missing-label"),
        pytest.param(np.full((3, 2), np.nan), ["a", "a", "b"], "6 values that are NaN", id="nan"),
    ],
)
def test_bad_input(function, x, labels, match):
    with pytest.raises(ValueError, match=match):
        function(x, labels)


def test_equal_points_cannot_be_compared():
    with pytest.raises(ValueError, match="All points of `x` are the same"):
        distance_ratio(np.ones((4, 2)), ["a", "a", "b", "b"])


def test_a_sample_must_have_room_for_the_groups():
    with pytest.raises(ValueError, match="n_max=2 is too small for 2 groups; at least 3"):
        silhouette(np.arange(4.0)[:, None], ["a", "a", "b", "b"], n_max=2)
