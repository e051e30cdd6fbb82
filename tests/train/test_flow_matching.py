"""Paths through snapshots and the field fitted to them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import linear_sum_assignment

from scgauge.module import ODEVAE
from scgauge.nn import kinetic_energy, make_matching
from scgauge.train import SnapshotCells, SnapshotPlan, couple, match_flow, spline_weights
from scgauge.train._snapshot_paths import CELLS_AT_ONCE, line_weights, subject_cells


def test_coupling_is_optimal_and_stays_within_snapshots():
    rng = np.random.default_rng(0)
    snapshots = [rng.normal(size=(CELLS_AT_ONCE, 3)) + shift for shift in (0, 1, 3)]
    rows = couple(snapshots, CELLS_AT_ONCE, np.random.default_rng(1))
    assert [sorted(part) for part in rows] == [list(range(CELLS_AT_ONCE))] * 3
    for (a, b), (i, j) in zip(pairwise(snapshots), pairwise(rows), strict=True):
        cost = np.square(a[:, None] - b[None]).sum(-1)
        best = cost[linear_sum_assignment(cost)].sum()
        np.testing.assert_allclose(np.square(a[i] - b[j]).sum(), best, rtol=1e-9)


def test_small_snapshots_are_drawn_again():
    snapshots = [np.zeros((5, 2)), np.ones((300, 2))]
    rows = couple(snapshots, 200, np.random.default_rng(0))
    assert [len(part) for part in rows] == [256, 256]
    assert set(rows[0]) == set(range(5))


def test_without_growth_nothing_else_is_drawn():
    rng, again = (np.random.default_rng(3) for _ in range(2))
    snapshots = [np.random.default_rng(0).normal(size=(300, 2)) for _ in range(3)]
    rows = couple(snapshots, CELLS_AT_ONCE, rng)
    drawn = [again.choice(300, CELLS_AT_ONCE, replace=False) for _ in range(3)]
    assert [sorted(part) for part in rows] == [sorted(part) for part in drawn]
    assert rng.random() == again.random()


def branches(n=400):
    """A stem, two branches of as many cells, one of which grows ninefold; growth until the next snapshot."""
    rng = np.random.default_rng(0)
    side = np.where(np.arange(n) < n / 2, 1.0, -1.0)
    last = np.where(np.arange(n) < 0.9 * n, 2.0, -2.0)
    snapshots = [rng.normal(0, 0.01, (n, 1)) + place[:, None] for place in (0 * side, side, last)]
    return snapshots, [np.zeros(n), np.where(side > 0, np.log(9), 0.0)]


def test_paths_are_lines_of_ancestors():
    snapshots, growth = branches()
    rows = couple(snapshots, 4096, np.random.default_rng(0), growth=growth)
    sides = [np.sign(points[row, 0]) for points, row in zip(snapshots[1:], rows[1:], strict=True)]
    assert (sides[0] == sides[1]).mean() > 0.97
    np.testing.assert_allclose((sides[1] > 0).mean(), 0.9, atol=0.02)
    stays = couple(snapshots, 4096, np.random.default_rng(0))
    crossed = [np.sign(points[row, 0]) for points, row in zip(snapshots[1:], stays[1:], strict=True)]
    np.testing.assert_allclose((crossed[0] != crossed[1]).mean(), 0.4, atol=0.03)


def test_the_field_is_the_mean_velocity_of_the_cells_that_are_there(monkeypatch):
    """A constant drift: the mean velocity over both branches, each by its share of the cells at the time."""
    snapshots, growth = branches()
    # Few of the cells at once are not in the shares of the branches, and some are coupled across.
    monkeypatch.setattr("scgauge.train._snapshot_paths.CELLS_AT_ONCE", len(growth[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        module = ODEVAE(5, times=[0.0, 1.0, 2.0], n_latent=1, dynamics="drift")
        cells = SnapshotCells(
            [torch.tensor(part, dtype=torch.float32) for part in snapshots],
            [torch.full((400, 1), 1e-6)] * 3,
            [torch.zeros(400, 0)] * 3,
            growth=[torch.tensor(2 * part, dtype=torch.float32) for part in (*growth, growth[1])],
        )
        match_flow(module, cells, path="linear", n_steps=300, batch_size=2048, lr=2e-2)
        found = float(module.velocity(torch.zeros(1), torch.zeros(1, 1)).detach())
    left = np.linspace(1, 0, 1001)  # of the second gap, in which a branch has yet to grow by so much
    mass = np.array([0.9, 0.1])[:, None] * np.exp(left * np.log([[5 / 9], [5.0]]))
    second = 2 * (mass[0] - mass[1])  # both branches part at twice a unit of scaled time
    expected = second.mean() / (1 + mass.sum(0).mean())
    # 0.45; the lines of ancestors alike would give 1.6.
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_subjects_weigh_alike_whatever_their_numbers_of_cells():
    """A constant drift of two subjects that go opposite ways, one with ten times the cells: no motion on average."""
    rng = np.random.default_rng(0)
    encoded = []
    for number, (n, way) in enumerate(((30, 1.0), (300, -1.0))):
        for time in (0.0, 2.0):
            points = torch.tensor(rng.normal(way * time, 0.1, (n, 1)), dtype=torch.float32)
            none, one = torch.zeros(n, 0), torch.ones(n, 1)
            encoded.append((points, torch.full((n, 1), 1e-4), time * one[:, 0], none, none, number * one))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        module = ODEVAE(5, times=[0.0, 2.0], n_latent=1, dynamics="drift")
        series = subject_cells(module, tuple(torch.cat(column) for column in zip(*encoded, strict=True)))
        assert [len(cells.mean[0]) for cells in series] == [30, 300]
        match_flow(module, *series, matching=make_matching("energy"), n_steps=600, batch_size=2048, lr=2e-2)
        found = float(module.velocity(torch.zeros(1), torch.zeros(1, 1)).detach())
    assert abs(found) < 0.1  # pooled cells: -2 * 9 / 11


def test_subjects_are_coupled_at_their_own_times():
    module = ODEVAE(5, times=[0.0, 4.0, 10.0], n_latent=1, dynamics="drift")
    time = torch.tensor([0.0, 10.0] * 3 + [4.0, 10.0] * 3 + [4.0])
    subject = torch.tensor([0] * 6 + [2] * 6 + [1])[:, None]
    columns = (torch.randn(13, 1), torch.ones(13, 1), time, torch.zeros(13, 0), torch.full((13, 1), 0.3), subject)
    first, second = subject_cells(module, columns)  # one time is no series
    np.testing.assert_allclose([first.times, second.times], [[0, 1], [0.4, 1]])
    np.testing.assert_allclose(second.growth_of_gaps(second.times)[0], 0.3 * 6, rtol=1e-6)
    with pytest.raises(ValueError, match="No subject of the training set has two times"):
        subject_cells(module, tuple(column[12:] for column in columns))


def test_spline_weights():
    knots, at = np.array([0.0, 0.2, 0.7, 1.0]), np.linspace(0, 1, 9)
    values = np.random.default_rng(0).normal(size=(4, 3))
    spline = CubicSpline(knots, values, bc_type="natural")
    place, slope = spline_weights(knots, at)
    np.testing.assert_allclose(place @ values, spline(at), atol=1e-12)
    np.testing.assert_allclose(slope @ values, spline(at, 1), atol=1e-12)
    np.testing.assert_allclose(place.sum(1), 1)
    np.testing.assert_allclose(slope.sum(1), 0, atol=1e-9)


@pytest.mark.parametrize("weights", [spline_weights, line_weights])
def test_two_knots_are_a_line(weights):
    place, slope = weights(np.array([0.0, 2.0]), np.array([0.5, 2.0]))
    np.testing.assert_allclose(place, [[0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(slope, [[-0.5, 0.5], [-0.5, 0.5]])


def test_polygon():
    knots, at = np.array([0.0, 0.25, 1.0]), np.linspace(0, 1, 11)
    place, slope = line_weights(knots, at)
    np.testing.assert_allclose(place @ [1.0, 3.0, 0.0], np.interp(at, knots, [1, 3, 0]))
    assert set((slope @ [1.0, 3.0, 0.0]).round(6)) == {8.0, -4.0}


@pytest.mark.parametrize(("dynamics", "matching"), [("affine", None), ("neural", "energy")])
def test_a_fitted_field_moves_snapshots_onto_each_other(dynamics, matching):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        rng = np.random.default_rng(0)
        start = rng.normal(size=(400, 2)) * 0.3
        angle = np.pi / 2 * np.array([0.0, 0.5, 1.0])
        centre = 2 * np.column_stack([np.cos(angle), np.sin(angle)])
        snapshots = [torch.tensor(start + c, dtype=torch.float32) for c in centre]
        module = ODEVAE(5, times=[10.0, 15.0, 20.0], n_latent=2, dynamics=dynamics)
        none = [torch.zeros(400, 0)] * 3
        distance = None if matching is None else make_matching(matching)
        cells = SnapshotCells(snapshots, [torch.full((400, 2), 1e-4)] * 3, none)
        losses = match_flow(module, cells, matching=distance, n_steps=600, lr=1e-2)
        assert losses[-1] < 0.2 * losses[0]
        with torch.no_grad():
            for index, goal in ((1, 0.5), (2, 1.0)):
                moved = module.move(snapshots[0], 0.0, goal)
                np.testing.assert_allclose(moved.mean(0), centre[index], atol=0.15)
                np.testing.assert_allclose(moved.std(0), snapshots[index].std(0), rtol=0.25)


def test_the_field_is_fitted_on_one_thread(monkeypatch):
    module = ODEVAE(4, times=[0.0, 1.0], n_latent=2, n_hidden=8)
    mean = [torch.randn(20, 2), torch.randn(20, 2) + 1]
    cells = SnapshotCells(mean, [torch.ones(20, 2)] * 2, [torch.zeros(20, 0)] * 2)
    seen, velocity = [], module.velocity
    monkeypatch.setattr(
        module, "velocity", lambda *points: seen.append(torch.get_num_threads()) or velocity(*points), raising=True
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        match_flow(module, cells, n_steps=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 1]


def arc(n=300):
    """Three snapshots on a quarter of a circle."""
    rng = np.random.default_rng(0)
    angle = np.pi / 2 * np.array([0.0, 0.5, 1.0])
    centre = 2 * np.column_stack([np.cos(angle), np.sin(angle)])
    return [torch.tensor(rng.normal(size=(n, 2)) * 0.2 + c, dtype=torch.float32) for c in centre]


def fitted(snapshots, times, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        module = ODEVAE(5, times=times, n_latent=2, dynamics="neural")
        n = len(snapshots[0])
        cells = SnapshotCells(snapshots, [torch.full((n, 2), 1e-4)] * len(times), [torch.zeros(n, 0)] * len(times))
        match_flow(module, cells, matching=make_matching("energy"), n_steps=200, lr=1e-2, **arguments)
    return module


def used(module, snapshots, start, end):
    with torch.no_grad():
        theta = module.theta(len(snapshots[0]))
        moved, energy = kinetic_energy(module.field, snapshots[0], start, end, theta, n_steps=16)
    return moved, float(energy.mean())


def test_transport_in_straight_lines_has_the_least_kinetic_energy():
    """From one cloud to its shifted copy: the squared shift over the time (Benamou-Brenier)."""
    first = arc()[0]
    shift = torch.tensor([1.5, -0.5])
    module = fitted([first, first + shift], [0.0, 4.0], kinetic_weight=0.01)
    moved, energy = used(module, [first], 0.0, 1.0)
    np.testing.assert_allclose(moved.mean(0), (first + shift).mean(0), atol=0.1)
    least = float(shift.square().sum())
    assert 0.9 * least < energy < 1.1 * least


def test_the_penalty_spares_a_detour():
    """A snapshot off the straight line is a detour; the penalty trades the fit to it for a shorter way."""
    snapshots, times = arc(), [0.0, 1.0, 2.0]
    free, spared = (fitted(snapshots, times, kinetic_weight=weight) for weight in (0.0, 0.5))
    assert used(spared, snapshots, 0.0, 1.0)[1] < 0.9 * used(free, snapshots, 0.0, 1.0)[1]


def test_no_velocity_is_taken_outside_of_the_snapshots(monkeypatch):
    """Also in the fit without the last snapshot, which chooses the memory: beyond it the spline is nobody's way."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        module = ODEVAE(5, times=[0.0, 1.0, 4.0, 10.0], n_latent=2, n_hidden=8)
        draws = [torch.randn(30, 2) + time for time in range(4)]
        cells = SnapshotCells(draws, [torch.ones(30, 2)] * 4, [torch.zeros(30, 0)] * 4)
        seen, velocity = [], module.velocity
        monkeypatch.setattr(module, "velocity", lambda t, *rest: seen.append(t) or velocity(t, *rest))
        SnapshotPlan(module, n_flow_steps=20)._choose_memory(cells, draws)
        chosen = torch.cat(seen)
        seen.clear()
        match_flow(module, cells, n_steps=10)
    assert 0 <= chosen.min() < 0.02
    assert 0.38 < chosen.max() <= 0.4
    assert 0.98 < torch.cat(seen).max() <= 1
