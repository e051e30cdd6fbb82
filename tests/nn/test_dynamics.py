"""Vector fields and solver against scipy's matrix exponential and scipy's solver of initial value problems."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from torch import nn

from scgauge.nn import affine_flow, kinetic_energy, solve, solve_path, step_error
from scgauge.nn.dynamics import DYNAMICS, LotkaVolterra, ParameterNet, check_field, make_field, theta_names

N, D = 4, 4
AFFINE = ["drift", "linear_diag", "linear", "affine"]
FREE = [name for name in DYNAMICS if name not in AFFINE]


def make(name, seed=0, **options):
    """Field in float64 with random weights, states, starts, ends and parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # noqa: TID251
        field = make_field(name, D, **options).double()
        for parameter in field.parameters():
            nn.init.normal_(parameter, std=0.4)
        z = torch.randn(N, D, dtype=torch.float64)
        start, end = torch.rand(2, N, dtype=torch.float64)
        theta = 0.5 * torch.randn(N, field.n_theta, dtype=torch.float64)
    return field, z, start, end, theta


def reference(field, z, start, end, theta):
    """The same problem, row by row, by scipy's adaptive solver with tight tolerances."""
    found = []
    for row in range(len(z)):
        parameters = theta[row : row + 1]

        def derivative(t, state, parameters=parameters):
            with torch.no_grad():
                return field(torch.full((1, 1), t, dtype=z.dtype), torch.tensor(state)[None], parameters)[0].numpy()

        span = (float(start[row]), float(end[row]))
        found.append(solve_ivp(derivative, span, z[row].numpy(), rtol=1e-11, atol=1e-12, method="DOP853").y[:, -1])
    return np.array(found)


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("name", AFFINE)
def test_affine_fields_are_solved_exactly(name, stable):
    field, z, start, end, theta = make(name, stable=stable)
    solution = solve(field, z, start, end, theta)
    np.testing.assert_allclose(solution, reference(field, z, start, end, theta), rtol=1e-8, atol=1e-9)
    # torchdiffeq on the same field, which then has no closed form
    matrix, offset = field.system(theta)
    stepped = solve(field, z, start, end, theta, n_steps=64, derivative=lambda t, state: field(t, state, theta))
    np.testing.assert_allclose(solution, stepped, rtol=1e-6, atol=1e-7)
    for row in range(N):
        joined = np.zeros((D + 1, D + 1))
        joined[:D, :D], joined[:D, D] = matrix[row], offset[row]
        exact = (expm(float(end[row] - start[row]) * joined) @ np.r_[z[row].numpy(), 1])[:D]
        np.testing.assert_allclose(solution[row], exact, rtol=1e-10, atol=1e-12)


def test_singular_matrices_have_a_solution():
    z, span = torch.ones(1, 2, dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    matrix = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    offset = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    # y' = 3, x' = y: y = 1 + 3 t, x = 1 + t + 1.5 t^2
    np.testing.assert_allclose(affine_flow(matrix, offset, z, span), [[9.0, 7.0]], rtol=1e-12)


@pytest.mark.parametrize("name", FREE)
def test_other_fields_equal_scipy(name):
    field, z, start, end, theta = make(name)
    with torch.no_grad():
        solution = solve(field, z, start, end, theta, n_steps=64)
    # A local-linear field is frozen within a step: second order, the others have order four.
    tolerance = 2e-3 if name == "local_linear" else 1e-6
    np.testing.assert_allclose(solution, reference(field, z, start, end, theta), rtol=tolerance, atol=tolerance)


def test_local_linear_converges_at_second_order():
    field, z, start, end, theta = make("local_linear")
    with torch.no_grad():
        exact = reference(field, z, start, end, theta)
        errors = [np.abs(solve(field, z, start, end, theta, n_steps=n).numpy() - exact).max() for n in (64, 128, 256)]
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 4, rtol=0.1)


@pytest.mark.parametrize("name", DYNAMICS)
def test_a_row_does_not_depend_on_its_batch_mates(name):
    field, z, start, end, theta = make(name)
    with torch.no_grad():
        together = solve(field, z, start, end, theta)
        order = torch.arange(N - 1, -1, -1)
        permuted = solve(field, z[order], start[order], end[order], theta[order])[order]
        alone = torch.cat(
            [solve(field, z[i : i + 1], start[i : i + 1], end[i : i + 1], theta[i : i + 1]) for i in range(N)]
        )
    torch.testing.assert_close(permuted, together, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", DYNAMICS)
def test_gradients_reach_states_and_parameters(name):
    field, z, start, end, theta = make(name)
    z.requires_grad_()
    theta.requires_grad_()
    solve(field, z, start, end, theta).square().sum().backward()
    assert z.grad.abs().min() > 0
    used = list(field.parameters()) + ([theta] if field.n_theta else [])
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in used)


@pytest.mark.parametrize("name", DYNAMICS)
def test_paths_pass_through_the_solutions(name):
    field, z, _, _, theta = make(name)
    times = [0.6, 0.1, 0.3, 1.0]
    with torch.no_grad():
        path = solve_path(field, z, 0.3, times, theta)
        for index, time in enumerate(times):
            direct = solve(field, z, 0.3, time, theta, n_steps=128)
            tolerance = 2e-2 if name == "local_linear" else 1e-4
            torch.testing.assert_close(path[:, index], direct, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(path[:, 2], z)


def test_backward_undoes_forward():
    field, z, start, end, theta = make("neural")
    with torch.no_grad():
        there = solve(field, z, start, end, theta, n_steps=64)
        torch.testing.assert_close(solve(field, there, end, start, theta, n_steps=64), z, rtol=1e-6, atol=1e-6)


def test_stable_systems_decay_and_free_ones_need_not():
    for name in ("linear_diag", "linear", "affine"):
        field, _, _, _, theta = make(name, stable=True)
        assert (torch.linalg.eigvals(field.system(5 * theta)[0]).real < 0).all()
    free = make_field("linear", 2)
    assert torch.linalg.eigvals(free.system(torch.tensor([[1.0, 0, 0, 1]]))[0]).real.max() > 0


def test_the_potential_is_what_the_flow_descends():
    field, z, start, _, theta = make("potential", n_context=2)
    z.requires_grad_()
    t = start[:, None]
    (slope,) = torch.autograd.grad(field.potential(t, z, theta).sum(), z)
    torch.testing.assert_close(field(t, z, theta), -slope, rtol=1e-9, atol=1e-10)


def test_lotka_volterra_in_its_own_coordinates():
    field = LotkaVolterra(2, fixed={"beta": 1.0, "gamma": 1.0}).double()
    assert field.theta_names == ["log_alpha", "log_delta"]
    theta = torch.log(torch.tensor([[0.5, 2.0]], dtype=torch.float64))
    start = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    z = torch.log(torch.expm1(start))
    with torch.no_grad():
        u = torch.nn.functional.softplus(solve(field, z, 0.0, 3.0, theta, n_steps=300))

    def derivative(t, u):
        return [0.5 * u[0] - u[0] * u[1], 2 * u[0] * u[1] - u[1]]

    exact = solve_ivp(derivative, (0, 3), [2.0, 2.0], rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(u[0], exact, rtol=1e-6)


@pytest.mark.parametrize("name", ["neural", "potential", "local_linear"])
def test_learned_fields_come_to_rest_outside_of_the_training_times(name):
    field, z, _, _, theta = make(name)
    late = solve_path(field, z, 1.0, [5.0, 9.0], theta).detach()
    torch.testing.assert_close(late[:, 0], late[:, 1], rtol=0, atol=1e-4)
    assert (late[:, 0] - z).abs().max() > 0.01


def test_step_error_falls_with_the_length_of_the_interval():
    field, z, _, _, theta = make("neural")
    assert step_error(field, z, 0.0, 1.0, theta) < 1e-4
    stiff = make_field("neural", D).double()
    for parameter in stiff.parameters():
        nn.init.normal_(parameter, std=6.0)
    assert step_error(stiff, z, 0.0, 1.0, theta) > 1e-2


def test_parameters_start_shared_and_follow_the_baseline():
    net = ParameterNet(3, n_baseline=2, n_groups=2)
    group, baseline = torch.tensor([[1.0, 0.0], [0.25, 0.75]]), torch.randn(2, 2)
    torch.testing.assert_close(net(group, baseline), group @ net.shared)
    assert net.shrinkage(baseline) == 0
    nn.init.ones_(net.network[2].weight)
    torch.testing.assert_close(net(group, baseline), group @ net.shared + net.individual(baseline))
    torch.testing.assert_close(net.shrinkage(baseline), net.individual(baseline).square().sum(1).mean())
    torch.testing.assert_close(net.group_lasso(), net.network[0].weight.norm(dim=0).sum())
    assert ParameterNet(3).network is None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("spiral", {}, "dynamics='spiral' was given; choose from"),
        ("linear", {"n_hidden": 3}, "do not fit dynamics='linear'"),
        ("lotka_volterra", {"fixed": {"omega": 1.0}}, "known parameters are positive numbers by name"),
        ("lotka_volterra", {"fixed": {"beta": -1.0}}, "known parameters are positive numbers by name"),
    ],
)
def test_unknown_fields_and_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_field(name, 4, **options)


def test_lotka_volterra_needs_pairs():
    with pytest.raises(ValueError, match="needs pairs of dimensions"):
        make_field("lotka_volterra", 3)


class Spring(nn.Module):
    n_theta = 1

    def forward(self, t, z, theta):
        return torch.stack((z[:, 1], -theta[:, 0] * z[:, 0]), dim=1)


def test_a_field_of_the_user():
    field = Spring()
    check_field(field, 2)
    assert theta_names(field) == ["theta1"]
    end = solve(field, torch.tensor([[1.0, 0.0]]), 0.0, np.pi, torch.ones(1, 1), n_steps=64)
    np.testing.assert_allclose(end, [[-1.0, 0.0]], atol=1e-5)


def test_fields_that_cannot_be_used():
    with pytest.raises(TypeError, match="dynamics is function"):
        check_field(lambda t, z, theta: z, 2)
    with pytest.raises(TypeError, match="needs an attribute n_theta"):
        check_field(nn.Identity(), 2)
    wrong = Spring()
    wrong.theta_names = ["one", "two"]
    with pytest.raises(ValueError, match="n_theta=1 but theta_names"):
        check_field(wrong, 2)
    short = Spring()
    short.forward = lambda t, z, theta: z[:, :1]
    with pytest.raises(ValueError, match=r"returned the shape \(3, 1\) for 3 states of 2"):
        check_field(short, 2)


def test_kinetic_energy_has_its_closed_form():
    z, span = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64), 0.7
    drift = torch.tensor([[0.3, -1.0]] * 2, dtype=torch.float64)
    moved, energy = kinetic_energy(make_field("drift", 2), z, 0.1, 0.1 + span, drift)
    torch.testing.assert_close(moved, z + span * drift)
    torch.testing.assert_close(energy, span * drift.square().sum(-1))
    rate = torch.tensor([[-0.8, 0.4]] * 2, dtype=torch.float64)
    for start, end in ((0.0, span), (span, 0.0)):
        moved, energy = kinetic_energy(make_field("linear_diag", 2), z, start, end, rate, n_steps=32)
        time = end - start
        torch.testing.assert_close(moved, z * torch.exp(rate * time), rtol=1e-7, atol=0)
        # The integral of (a z exp(a t))^2 over the way, which has no direction.
        expected = (z.square() * rate * (torch.exp(2 * rate * time) - 1) / 2).sum(-1).abs()
        torch.testing.assert_close(energy, expected, rtol=1e-6, atol=0)
