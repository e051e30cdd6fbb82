import numpy as np
import pytest
from scipy import sparse, stats

from scgauge.metrics import memorization
from scgauge.metrics._memorization import _mann_whitney


def draws(seed, sizes=(300, 200, 100), p=8):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, p)) for n in sizes]


def by_hand(train, synthetic):
    """Authenticity by loops."""
    authentic = 0
    for point in synthetic:
        distances = np.linalg.norm(train - point, axis=1)
        closest = distances.argmin()
        others = np.linalg.norm(np.delete(train, closest, axis=0) - train[closest], axis=1)
        authentic += distances[closest] > others.min()
    return authentic / len(synthetic)


def test_copies_are_called_copies_and_fresh_points_are_not():
    fresh_z, half_z, dcr = [], [], []
    for seed in range(30):
        train, fresh, holdout = draws(seed)
        result = memorization(train, fresh, holdout=holdout, n_bootstrap=20, rng=seed)
        fresh_z.append(result.train_share_z)
        dcr.append((result.dcr_share - 0.5) / result.dcr_share_se)
        half = np.concatenate([train[:20] + 1e-3, fresh[:180]])  # a tenth is copied
        half_z.append(memorization(train, half, holdout=holdout, n_bootstrap=2, rng=seed).train_share_z)
    # The z of fresh points is standard normal; the bootstrap error covers the truth.
    assert stats.kstest(fresh_z, "norm").pvalue > 0.005
    assert 0.7 < np.std(fresh_z) < 1.4
    assert 0.5 < np.std(dcr) < 1.7
    assert np.mean(half_z) > np.mean(fresh_z) + 0.8


def test_full_copies():
    train, _, holdout = draws(0)
    result = memorization(train, train[:150], holdout=holdout, rng=0)
    assert result.train_share == 1
    assert result.train_share_z > 6
    assert result.authenticity == 0
    assert result.authenticity_holdout > 0.3
    assert result.copying_z < -5
    assert result.privacy_loss > 0.1
    # A third of the training points meets the held-out points: a third of the copies lies at distance 0.
    assert result.dcr_share == pytest.approx(1 / 3 + 2 / 3 / 2, abs=0.12)


def test_typical_points_lower_data_copying_but_not_the_training_share():
    train, _, holdout = draws(1)
    typical = 0.3 * np.random.default_rng(2).normal(size=(200, 8))
    result = memorization(train, typical, holdout=holdout, rng=0)
    assert result.copying_z < -3
    assert result.train_share_z < 4


def test_authenticity_is_that_of_the_definition():
    train, fresh, holdout = draws(3)
    result = memorization(train, fresh, holdout=holdout, n_bootstrap=2, rng=0)
    assert result.authenticity == pytest.approx(by_hand(train, fresh))
    assert result.authenticity_holdout == pytest.approx(by_hand(train, holdout))


def test_variance_of_the_training_share_is_that_of_permuted_labels():
    train, fresh, holdout = draws(4, sizes=(60, 80, 40), p=20)  # many dimensions have hubs
    result = memorization(train, fresh, holdout=holdout, n_bootstrap=2, rng=0)
    real = np.concatenate([train, holdout])
    closest = np.linalg.norm(fresh[:, None] - real, axis=2).argmin(axis=1)
    rng = np.random.default_rng(0)
    shares = [(rng.permutation(100)[closest] < 60).mean() for _ in range(4000)]
    assert result.train_share == (closest < 60).mean()
    assert result.train_share_z == pytest.approx((result.train_share - 0.6) / np.std(shares), abs=0.12)


def test_adversarial_accuracy_is_one_half_for_fresh_points():
    values = []
    for seed in range(20):
        train, fresh, holdout = draws(seed, sizes=(150, 150, 150), p=3)
        values.append(memorization(train, fresh, holdout=holdout, n_bootstrap=2, rng=seed).nnaa_train)
    assert abs(np.mean(values) - 0.5) < 4 * np.std(values, ddof=1) / np.sqrt(20)


@pytest.mark.parametrize("decimals", [1, 8])
def test_mann_whitney_is_that_of_scipy(decimals):
    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=30), decimals), np.round(rng.normal(size=40) + 0.4, decimals)
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False, alternative="less")
    assert stats.norm.cdf(_mann_whitney(a, b)) == pytest.approx(expected.pvalue, rel=1e-10)


def test_sparse_counts_with_ties():
    rng = np.random.default_rng(0)
    train, fresh, holdout = (rng.poisson(0.3, (100, 6)) for _ in range(3))  # many equal cells
    result = memorization(sparse.csr_matrix(train), sparse.csr_matrix(fresh), holdout=holdout, rng=0)
    assert abs(result.train_share_z) < 4
    assert abs(result.dcr_share - 0.5) < 5 * result.dcr_share_se


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"holdout": np.ones((5, 2))}, r"same variables; found \[3, 3, 2\]"),
        ({"holdout": np.ones((2, 3))}, "`holdout` has 2 points"),
        ({"n_bootstrap": 1}, "n_bootstrap=1 was given; at least 2"),
        ({"n_clusters": 0}, "n_clusters=0 was given; at least 1"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(ValueError, match=match):
        memorization(np.ones((5, 3)), np.zeros((5, 3)), **{"holdout": np.ones((5, 3)), **arguments})
