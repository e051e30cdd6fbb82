import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, spearmanr
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

import scgauge
from scgauge.metrics._rank_blocks import Ranking

SIZE_FREE = dict.fromkeys(["recall", "rnx", "auc_lnk", "trustworthiness", "continuity", "spearman"], 1.0) | {
    "stress": 0.0
}


def fixture():
    """40 points by formula; the numbers below are of other programs on the same points."""
    i, j = np.arange(1, 41)[:, None], np.arange(1, 6)[None, :]
    x = np.sin(0.7 * i * j + j**2) + 0.8 * (j % 2) * (i > 20)
    i = i[:, 0]
    return x, np.stack([x[:, 0] + 0.3 * np.sin(1.3 * i), x[:, 1] + 0.3 * np.cos(2.1 * i)], axis=1), i > 20


def score(x, y, **arguments):
    arguments = {"rng": 0} | arguments
    return scgauge.metrics.embedding_quality(x, y, **arguments)


def values(quality, column="value"):
    return quality.scores.set_index(["metric", "k"])[column].to_dict()


def cloud(n=150, p=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    return x, x[:, :2] + 0.2 * rng.normal(size=(n, 2))


def test_equal_to_coranking_sklearn_and_zadu_on_the_fixture():
    x, y, labels = fixture()
    found = values(score(x, y, n_neighbors=(3, 5, 10), labels=labels))
    expected = {
        ("recall", 5): 0.57,  # R coRanking 0.2.5
        ("rnx", 5): 0.506764705882353,
        ("auc_lnk", 0): 0.562803867274828,
        ("lcmc", 5): 0.441794871794872,
        ("trustworthiness", 3): 0.9176190476190477,  # scikit-learn 1.9.1
        ("trustworthiness", 5): 0.830625,
        ("trustworthiness", 10): 0.7914285714285714,
        ("continuity", 3): 0.9238095238095239,
        ("continuity", 5): 0.92328125,
        ("continuity", 10): 0.8463265306122449,
        ("spearman", 0): 0.6069364398641731,  # ZADU 0.5.4
        ("stress", 0): 0.33282396796729957,
        ("neighborhood_hit", 5): 0.58,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=str(name))


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_sklearn_and_scipy(seed):
    x, y = cloud(n=230, seed=seed)
    quality = score(x, y, n_neighbors=(4, 15, 60))
    found = values(quality)
    for k in (4, 15, 60):
        np.testing.assert_allclose(found["trustworthiness", k], trustworthiness(x, y, n_neighbors=k), rtol=1e-12)
        np.testing.assert_allclose(found["continuity", k], trustworthiness(y, x, n_neighbors=k), rtol=1e-12)
        lists = [NearestNeighbors(n_neighbors=k).fit(z).kneighbors(return_distance=False) for z in (x, y)]
        shared = [len(np.intersect1d(*pair)) / k for pair in zip(*lists, strict=True)]
        np.testing.assert_allclose(quality.recall[:, list(quality.n_neighbors).index(k)], shared, rtol=1e-12)
    np.testing.assert_allclose(found["spearman", 0], spearmanr(pdist(x), pdist(y)).statistic, rtol=1e-10)


def test_equal_to_zadu_live():
    tnc = pytest.importorskip("zadu.measures.trustworthiness_continuity")
    lcmc = pytest.importorskip("zadu.measures.local_continuity_meta_criteria")
    x, y = cloud()
    found = values(score(x, y, n_neighbors=12))
    theirs = tnc.measure(x, y, k=12)
    np.testing.assert_allclose(found["trustworthiness", 12], theirs["trustworthiness"], rtol=1e-12)
    np.testing.assert_allclose(found["continuity", 12], theirs["continuity"], rtol=1e-12)
    np.testing.assert_allclose(found["lcmc", 12], lcmc.measure(x, y, k=12)["lcmc"], rtol=1e-12)


def test_curve_and_area_from_the_co_ranking_matrix():
    x, y = cloud(n=60)
    n = 60
    true, shown = (np.argsort(np.argsort(np.linalg.norm(z[:, None] - z[None], axis=2))) for z in (x, y))
    q = np.array([((true <= k) & (shown <= k)).sum() - n for k in range(1, n - 1)]) / (n * np.arange(1, n - 1))
    k = np.arange(1, n - 1)
    r = ((n - 1) * q - k) / (n - 1 - k)
    quality = score(x, y, n_neighbors=5)
    np.testing.assert_allclose(quality.curve["rnx"], r[quality.curve["k"] - 1], atol=1e-12)
    assert quality.curve["k"].iloc[[0, -1]].tolist() == [1, n - 2]
    np.testing.assert_allclose(values(quality)["auc_lnk", 0], (r / k).sum() / (1 / k).sum(), rtol=1e-12)


def test_identity_is_perfect_and_a_shuffle_is_chance():
    x, _ = cloud(n=400)
    found = values(score(x, x, n_neighbors=(5, 50)))
    for (metric, _k), value in found.items():
        if metric in SIZE_FREE:
            np.testing.assert_allclose(value, SIZE_FREE[metric], atol=1e-7)
    chance = [values(score(x, x[np.random.default_rng(s).permutation(400)], n_neighbors=20)) for s in range(12)]
    for metric, k in [("rnx", 20), ("lcmc", 20), ("auc_lnk", 0), ("spearman", 0)]:
        drawn = np.array([found[metric, k] for found in chance])
        assert abs(drawn.mean()) < 4 * drawn.std(ddof=1) / np.sqrt(12)
        assert abs(drawn).max() < 0.1
    assert abs(np.mean([found["trustworthiness", 20] for found in chance]) - 0.5) < 0.03


def test_exchanging_the_spaces_exchanges_trustworthiness_and_continuity():
    x, y = cloud()
    there, back = values(score(x, y, n_neighbors=9)), values(score(y, x, n_neighbors=9))
    assert there["trustworthiness", 9] == back["continuity", 9]
    for name in [("recall", 9), ("rnx", 9), ("auc_lnk", 0), ("spearman", 0)]:
        np.testing.assert_allclose(there[name], back[name], rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), n=st.integers(30, 90))
def test_rotation_scale_and_order_of_points_change_nothing(seed, scale, n):
    x, y = cloud(n=n, p=4, seed=seed)
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    order = rng.permutation(n)
    rotation = ortho_group.rvs(2, random_state=seed)
    before = score(x, y, n_neighbors=(3, 10), labels=labels)
    after = score(x[order] * scale + 3, y[order] @ rotation / scale - 5, n_neighbors=(3, 10), labels=labels[order])
    np.testing.assert_allclose(after.scores["value"], before.scores["value"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(after.trustworthiness, before.trustworthiness[order], atol=1e-12)


def test_sampled_rows_are_unbiased_and_their_errors_honest(monkeypatch):
    x, y = cloud(n=500)
    exact = values(score(x, y, n_neighbors=15))
    monkeypatch.setattr("scgauge.metrics._embedding_quality._N_PAIRS", 100)  # not the question here
    draws = [score(x, y, n_neighbors=15, n_query=60, rng=seed) for seed in range(40)]
    for name in [("recall", 15), ("rnx", 15), ("trustworthiness", 15), ("continuity", 15), ("auc_lnk", 0)]:
        estimates = np.array([values(draw)[name] for draw in draws])
        errors = np.array([values(draw, "se")[name] for draw in draws])
        assert abs(estimates.mean() - exact[name]) < 4 * estimates.std(ddof=1) / np.sqrt(40)
        assert 0.7 < errors.mean() / estimates.std(ddof=1) < 1.4


def test_sampled_pairs(monkeypatch):
    x, y = cloud(n=300)
    quality = score(x, y, n_neighbors=5)
    exact = values(quality)
    assert set(values(quality, "se").values()) == {0.0}
    monkeypatch.setattr("scgauge.metrics._embedding_quality._N_PAIRS", 2000)
    draws = [score(x, y, n_neighbors=5, rng=seed) for seed in range(40)]
    for name in [("spearman", 0), ("stress", 0)]:
        estimates = np.array([values(draw)[name] for draw in draws])
        errors = np.array([values(draw, "se")[name] for draw in draws])
        assert abs(estimates.mean() - exact[name]) < 4 * estimates.std(ddof=1) / np.sqrt(40)
        assert 0.7 < errors.mean() / estimates.std(ddof=1) < 1.4


def test_blocks_change_nothing(monkeypatch):
    x, y = cloud()
    whole = score(x, y, n_neighbors=9)
    monkeypatch.setattr("scgauge.metrics._rank_blocks._BLOCK_BYTES", 8 * 150 * 7)
    parts = score(x, y, n_neighbors=9)
    np.testing.assert_allclose(parts.scores["value"], whole.scores["value"], rtol=1e-12)


def test_class_means():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(9), 10)
    means, shown = rng.normal(size=(9, 5)) * 5, rng.normal(size=(9, 2)) * 5
    found = values(score(means[labels], shown[labels] + 1e-9 * rng.normal(size=(90, 2)), n_neighbors=9, labels=labels))
    nearest = [NearestNeighbors(n_neighbors=4).fit(z).kneighbors(return_distance=False) for z in (means, shown)]
    expected = np.mean([len(np.intersect1d(*pair)) / 4 for pair in zip(*nearest, strict=True)])
    np.testing.assert_allclose(found["knc", 4], expected, rtol=1e-12)


def test_duplicates_are_ranked_alike_in_both_spaces_and_by_chance_otherwise():
    x, _ = cloud(n=60)
    twice = np.repeat(x, 4, axis=0)
    assert values(score(twice, twice, n_neighbors=3))["rnx", 3] == 1
    line = np.arange(300.0)[:, None]  # neighbours in the order of rows, in the embedding nothing but ties
    halves = (np.arange(300) % 2).astype(float)[:, None]
    assert abs(values(score(line, halves, n_neighbors=30))["rnx", 30]) < 0.1


def test_order_of_near_and_equal_points():
    points = np.array([[0.0], [3.0], [1.0], [1.0], [-2.0]])
    assert Ranking(points, np.array([0, 1, 2, 3, 4])).order(np.array([0, 1])).tolist() == [[2, 3, 4, 1], [2, 3, 0, 4]]
    assert Ranking(points, np.array([0, 1, 3, 2, 4])).order(np.array([0])).tolist() == [[3, 2, 4, 1]]


def test_memory_does_not_grow_with_the_square():
    x, y = cloud(n=6000, p=10)
    tracemalloc.start()
    score(x, y, n_neighbors=15, n_query=600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000**2 * 8 / 2  # a half of one matrix of distances


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_neighbors": (5, 75)}, r"\[75\].*150"),
        ({"n_neighbors": 0}, r"\[0\]"),
        ({"n_neighbors": 2.5}, "integers"),
        ({"n_neighbors": ()}, "integers"),
        ({"n_neighbors": (5, 5)}, "different"),
        ({"n_query": 151}, "n_query=151"),
        ({"n_query": 1}, "n_query=1"),
        ({"labels": ["a"]}, "labels"),
        ({"embedding": np.ones((150, 2))}, "at one place"),
        ({"embedding": np.ones((149, 2)) * np.arange(149)[:, None]}, "149 points"),
        ({"embedding": np.full((150, 2), np.nan)}, "NaN"),
    ],
)
def test_bad_input(change, message):
    x, y = cloud()
    arguments = {"embedding": y, "n_neighbors": 5} | change
    with pytest.raises(ValueError, match=message):
        scgauge.metrics.embedding_quality(x, arguments.pop("embedding"), **arguments)


def test_density_is_the_correlation_of_log_radii():
    x, y = cloud(n=200)
    y[:, 0] = np.exp(y[:, 0])
    found = values(score(x, y, n_neighbors=(7, 30)))
    for k in (7, 30):
        radii = [np.square(NearestNeighbors(n_neighbors=k).fit(z).kneighbors()[0]).mean(axis=1) for z in (x, y)]
        np.testing.assert_allclose(found["density", k], np.corrcoef(np.log(radii))[0, 1], rtol=1e-7)
    assert values(score(x, 3 * x, n_neighbors=7))["density", 7] == pytest.approx(1)
    assert np.isnan(values(score(x, np.repeat([[0.0, 0], [1, 1]], 100, axis=0), n_neighbors=7))["density", 7])


def test_density_of_a_sample_has_an_error_that_covers():
    x, y = cloud(n=300)
    exact = values(score(x, y, n_neighbors=15))["density", 15]
    found = [score(x, y, n_neighbors=15, n_query=80, rng=seed) for seed in range(20)]
    z = [(values(one)["density", 15] - exact) / values(one, "se")["density", 15] for one in found]
    assert 0.5 < np.std(z) < 1.7


def test_scores_of_labels_are_those_of_sklearn():
    from sklearn.metrics import silhouette_score

    x, y = cloud(n=150)
    labels = np.where(y[:, 0] > 0.5, "c", np.where(y[:, 1] > 0, "b", "a"))
    labels = np.where(np.random.default_rng(1).random(150) < 0.2, "a", labels)
    found = values(score(x, y, n_neighbors=(1, 15), labels=labels))
    np.testing.assert_allclose(found["silhouette", 0], silhouette_score(y, labels), rtol=1e-10)
    neighbors = NearestNeighbors(n_neighbors=15).fit(y).kneighbors(return_distance=False)
    for k in (1, 15):
        votes = [[(labels[row[:k]] == name).sum() for name in "abc"] for row in neighbors]
        # without ties the vote has one answer
        clear = [sorted(row)[-1] > sorted(row)[-2] for row in votes]
        winner = np.array(list("abc"))[np.argmax(votes, axis=1)]
        low = (winner == labels)[clear].sum() / 150
        assert low - 1e-12 <= found["knn_accuracy", k] <= low + 1 - np.mean(clear) + 1e-12
    assert found["knn_accuracy", 1] == pytest.approx(np.mean(labels[neighbors[:, 0]] == labels))


def test_equal_votes_go_to_the_nearest_label():
    x = np.array([[0.0], [1], [2.1], [3.3], [4.6], [6.0], [7.5]])
    labels = ["a", "a", "b", "b", "a", "b", "b"]
    found = score(x, x, n_neighbors=2, labels=labels)
    # nearest two: 0: a b -> a; 1: a b -> a; 2: a b -> a; 3: b a -> b; 4: b b -> b; 5: a b -> a; 6: b a -> b
    assert values(found)["knn_accuracy", 2] == pytest.approx(4 / 7)


def test_pairs_are_distances_at_the_scale_of_the_stress():
    x, y = cloud(n=60)
    pairs = score(x, y, n_neighbors=5).pairs
    true, shown = pdist(x), pdist(y)
    assert len(pairs) == len(true)
    np.testing.assert_allclose(pairs["true"], true, rtol=1e-10)
    np.testing.assert_allclose(pairs["shown"], shown * (true @ shown) / (shown @ shown), rtol=1e-10)


def test_too_many_copies_of_a_point():
    x, y = cloud(n=100)
    x[:6] = x[0]
    assert values(score(x, y, n_neighbors=5))["recall", 5] > 0
    with pytest.raises(ValueError, match="6 of the 100 points .* more than 4 exact copies"):
        score(x, y, n_neighbors=(4, 20))
