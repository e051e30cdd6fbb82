"""Probabilities of groups equal those of scipy's normal distributions."""

import numpy as np
import torch
from scipy.stats import multivariate_normal

from scgauge.nn import GroupMixture


def make():
    rng = np.random.default_rng(0)
    mean, share = rng.normal(size=(3, 2, 2)), rng.dirichlet([5, 5], 3)
    root = rng.normal(size=(3, 2, 2, 2))
    covariance = root @ root.swapaxes(-1, -2) + 0.2 * np.eye(2)
    mixture = GroupMixture(2, 3, 2)
    mixture.set(*(torch.as_tensor(part) for part in (mean, covariance, share)))
    return mixture, mean, covariance, share


def expected(z, mean, covariance, share):
    return np.column_stack(
        [np.log(s) + multivariate_normal(m, c).logpdf(z) for m, c, s in zip(mean, covariance, share, strict=True)]
    )


def test_densities_at_between_and_outside_of_the_snapshots():
    mixture, mean, covariance, share = make()
    times = torch.tensor([0.0, 0.25, 1.0])
    z = np.random.default_rng(1).normal(size=(6, 2))
    weights = {0.0: (1, 0, 0), 0.25: (0, 1, 0), 0.4: (0, 0.8, 0.2), 1.0: (0, 0, 1), -3.0: (1, 0, 0), 2.0: (0, 0, 1)}
    found = mixture.log_joint(torch.as_tensor(z), torch.tensor(list(weights)), times).numpy()
    for row, weight in enumerate(weights.values()):
        parts = [np.tensordot(weight, part, 1) for part in (mean, covariance, share)]
        np.testing.assert_allclose(found[[row]], expected(z[[row]], *parts), rtol=1e-6)
    probability = mixture.probability(torch.as_tensor(z), torch.tensor(list(weights)), times).numpy()
    np.testing.assert_allclose(probability, np.exp(found) / np.exp(found).sum(1, keepdims=True), rtol=1e-9)


def test_groups_that_were_not_fitted_are_the_same():
    found = GroupMixture(4, 2, 3).probability(torch.randn(5, 3), torch.rand(5), torch.tensor([0.0, 1.0]))
    np.testing.assert_allclose(found, 0.25)
