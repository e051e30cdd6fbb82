"""Carried and combined Gaussian states against closed forms and simulation."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from scgauge.nn import States, carry, combine, pairs_within, solve
from scgauge.nn.dynamics import make_field


def make(name, n=5, d=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        field = make_field(name, d).double()
        mean, variance = torch.randn(n, d, dtype=torch.float64), torch.rand(n, d, dtype=torch.float64) * 1e-2 + 1e-3
        start, end = torch.rand(2, n, dtype=torch.float64)
        theta = torch.randn(n, field.n_theta, dtype=torch.float64)
    return field, States(mean, variance), start, end, theta


def test_affine_states_are_carried_by_the_matrix_exponential():
    field, states, start, end, theta = make("affine")
    diffusion = torch.tensor([0.3, 0.7], dtype=torch.float64)
    found = carry(field, states, start, end, theta, diffusion=diffusion)
    for row in range(len(start)):
        joined = np.zeros((3, 3))
        joined[:2, :2], joined[:2, 2] = theta[row, :4].reshape(2, 2), theta[row, 4:]
        span = float(end[row] - start[row])
        solved = expm(joined * span)
        np.testing.assert_allclose(
            found.mean[row], solved[:2, :2] @ states.mean[row].numpy() + solved[:2, 2], rtol=1e-9
        )
        covariance = solved[:2, :2] @ np.diag(states.variance[row]) @ solved[:2, :2].T
        expected = np.diag(covariance) + diffusion.numpy() * abs(span)
        np.testing.assert_allclose(found.variance[row], expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["neural", "lotka_volterra"])
def test_variance_of_other_fields_is_that_of_many_carried_draws(name):
    field, states, start, end, theta = make(name, n=3)
    with torch.no_grad():
        found = carry(field, states, start, end, theta)
        noise = torch.as_tensor(np.random.default_rng(0).standard_normal((3, 4000, 2)))
        draws = states.mean[:, None] + states.variance[:, None].sqrt() * noise
        several = [part.repeat_interleave(4000, 0) for part in (start, end, theta)]
        moved = solve(field, draws.flatten(0, 1), *several).unflatten(0, (3, -1))
    np.testing.assert_allclose(found.variance, moved.var(1), rtol=0.1)
    np.testing.assert_allclose(found.mean, moved.mean(1), atol=3e-2)


def test_states_are_combined_by_inverse_variance():
    states = States(torch.tensor([[0.0], [3.0], [5.0]]), torch.tensor([[1.0], [0.5], [2.0]]))
    found = combine(states, torch.tensor([0, 0, 2]), 3)
    np.testing.assert_allclose(found.mean[:, 0], [2.0, 0.0, 5.0])  # (0 / 1 + 3 / .5) / 3; nothing: the prior
    np.testing.assert_allclose(found.variance[:, 0], [1 / 3, 1.0, 2.0])


def test_errors_that_states_share_do_not_average_out():
    mean, variance = torch.tensor([[0.0], [3.0], [1.0], [5.0]]), torch.tensor([[1.0], [0.5], [4.0], [2.0]])
    to = torch.tensor([0, 0, 0, 2])
    apart = combine(States(mean, variance), to, 3)
    alike = combine(States(mean, variance), to, 3, independent=False)
    np.testing.assert_array_equal(alike.mean, apart.mean)
    # One and the same error, in units of the standard deviation of each state.
    error = torch.tensor([-1.0, 1.0])
    moved = torch.stack([combine(States(mean + e * variance.sqrt(), variance), to, 3).mean[:, 0] for e in error])
    slope = (moved[-1] - moved[0]) / (error[-1] - error[0])
    np.testing.assert_allclose(alike.variance[[0, 2], 0], slope[[0, 2]] ** 2, rtol=1e-5)
    assert alike.variance[1, 0] == 1  # nothing speaks of it: the prior
    assert apart.variance[0, 0] < alike.variance[0, 0] < variance[0, 0]


def test_pairs_are_those_of_a_subject():
    subject = torch.tensor([7, 3, 7, 9])
    target, source = pairs_within(subject, subject, without_own=True)
    assert sorted(zip(target.tolist(), source.tolist(), strict=True)) == [(0, 2), (2, 0)]
    target, source = pairs_within(torch.tensor([3, 3]), subject)
    assert sorted(zip(target.tolist(), source.tolist(), strict=True)) == [(0, 1), (1, 1)]
