"""Groups that go through snapshots: planted ones are found, overlapping ones stay uncertain."""

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from scgauge.train import fit_groups, refine_groups

#: Places of three groups at three times; in the first all are at one place.
PLACES = np.array([[[0, 0], [0, 0], [0, 0]], [[-2, 1], [2, 1], [0, -2]], [[-4, 0], [4, 0], [0, -4]]], dtype=float)


def make(seed, n=150, places=PLACES, share=(0.5, 0.3, 0.2)):
    rng = np.random.default_rng(seed)
    names = [rng.choice(3, n, p=share) for _ in places]
    return [place[name] + rng.normal(0, 0.5, (n, 2)) for place, name in zip(places, names, strict=True)], names


def test_groups_are_followed_through_a_branching():
    uncertain = []
    for seed in range(3):
        snapshots, names = make(seed)
        found = fit_groups(snapshots, 3, np.random.default_rng(seed))
        best = [part.argmax(1) for part in found.probability]
        assert adjusted_rand_score(names[1], best[1]) > 0.9
        assert adjusted_rand_score(names[2], best[2]) > 0.97
        # One name for a group at all times, and the largest first.
        for time in (1, 2):
            np.testing.assert_allclose(found.mean[time], PLACES[time], atol=0.35)
        uncertain.append(np.abs(found.probability[0] - [0.5, 0.3, 0.2]).mean())
    # Where they lie on each other the probabilities are near the shares; an arbitrary division is off by 0.3.
    assert np.mean(uncertain) < 0.12


def test_probabilities_are_those_of_the_densities():
    snapshots, _ = make(0)
    found = fit_groups(snapshots, 3, np.random.default_rng(0))
    for time, points in enumerate(snapshots):
        density = np.column_stack(
            [
                share * multivariate_normal(mean, covariance).pdf(points)
                for mean, covariance, share in zip(
                    found.mean[time], found.covariance[time], found.share[time], strict=True
                )
            ]
        )
        np.testing.assert_allclose(found.probability[time], density / density.sum(1, keepdims=True), atol=0.02)


def test_one_snapshot_is_a_mixture_of_normal_distributions():
    snapshots, names = make(0, n=3000)
    start = np.eye(3)[names[2]]
    found = refine_groups(snapshots[2:], [start])
    reference = GaussianMixture(3, means_init=PLACES[2], tol=1e-8).fit(snapshots[2])
    order = [np.argmin(np.abs(reference.means_ - place).sum(1)) for place in PLACES[2]]
    np.testing.assert_allclose(found.mean[0], reference.means_[order], atol=0.01)
    np.testing.assert_allclose(found.share[0], reference.weights_[order], atol=0.01)
    np.testing.assert_allclose(found.covariance[0], reference.covariances_[order], atol=0.02)
    np.testing.assert_allclose(found.log_likelihood, reference.score(snapshots[2]), atol=1e-3)


def test_more_groups_than_there_are_leave_every_number_finite():
    snapshots, _ = make(0, n=30, places=PLACES[:2], share=(1.0, 0.0, 0.0))
    found = fit_groups(snapshots, 4, np.random.default_rng(0))
    assert all(np.isfinite(part).all() for part in (*found[:3], *found.probability))
    np.testing.assert_allclose(found.share.sum(1), 1)
