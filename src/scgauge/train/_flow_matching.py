"""Flow matching: a vector field from smooth paths through optimally coupled snapshots, without solving it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, softmax
from torch.nn.functional import one_hot

from scgauge._core.sampling import resample
from scgauge._core.threads import threads_for
from scgauge.nn import growth_weight, kinetic_energy, solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scgauge.module import ODEVAE
    from scgauge.nn import Matching

#: Cells of each snapshot that are coupled at once, and paths that are made for a fit.
CELLS_AT_ONCE, N_PATHS = 128, 4096
#: Steps of flow matching for each step that also solves the field.
MATCH_EVERY = 4


class SnapshotCells(NamedTuple):
    """What the field is fitted to: the cells of each training time.

    Attributes
    ----------
    mean, variance
        Approximate posterior of the latent points, ``(n_t, n_latent)``.
    baseline
        Baseline variables, ``(n_t, n_baseline)``.
    groups
        Probabilities of the groups, ``(n_t, n_groups)``, if there are several: each group is coupled, and moved, by
        itself.
    growth
        Growth rates per unit of scaled time, ``(n_t,)``, if they are known.
    """

    mean: list[Tensor]
    variance: list[Tensor]
    baseline: list[Tensor]
    groups: list[np.ndarray] | None = None
    growth: list[Tensor] | None = None

    def growth_of_gaps(self, times: np.ndarray) -> list[np.ndarray] | None:
        """Return how much each cell of all snapshots but the last grows until the next, as a logarithm."""
        if self.growth is None:
            return None
        return [rate.double().cpu().numpy() * gap for rate, gap in zip(self.growth, np.diff(times), strict=False)]

    def before_last(self) -> SnapshotCells:
        """Return all snapshots but the last."""
        return SnapshotCells(*(None if part is None else part[:-1] for part in self))  # type: ignore[arg-type]


def couple(
    snapshots: Sequence[np.ndarray],
    n_paths: int,
    rng: np.random.Generator,
    *,
    weights: Sequence[np.ndarray] | None = None,
    growth: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Draw paths through all snapshots: the rows of cells that optimal transport couples, one step after another.

    From each snapshot `CELLS_AT_ONCE` cells are drawn (with replacement where there are fewer), and cells of
    neighbouring snapshots are assigned to each other with the least sum of squared distances. Cells that grow are
    ancestors of several cells of the next snapshot, or of none: before each assignment the paths so far are drawn again
    in proportion to the growth of their last cells, so that every path is the line of ancestors of a cell of the last
    snapshot.

    Parameters
    ----------
    snapshots
        Points at each time, ``(n_t, n_dims)``.
    n_paths
        Number of paths, rounded up to a multiple of `CELLS_AT_ONCE`.
    rng
        Source of randomness.
    weights
        How often to draw each cell, ``(n_t,)``, for example the probabilities of a group; evenly if ``None``.
    growth
        Growth of each cell until the next snapshot, as a logarithm, ``(n_t,)`` for all snapshots but the last; none if
        ``None``.

    Returns
    -------
    For each snapshot the rows that the paths pass through, ``(n_paths,)``.
    """
    rounds = []
    for _ in range(-(-n_paths // CELLS_AT_ONCE)):
        rows: list[np.ndarray] = []
        for index, points in enumerate(snapshots):
            if weights is None:
                drawn = rng.choice(len(points), CELLS_AT_ONCE, replace=len(points) < CELLS_AT_ONCE)
            else:
                drawn = rng.choice(len(points), CELLS_AT_ONCE, p=weights[index] / weights[index].sum())
            if index:
                if growth is not None:
                    parents = resample(softmax(growth[index - 1][rows[-1]]), CELLS_AT_ONCE, rng)
                    rows = [part[parents] for part in rows]
                before = snapshots[index - 1][rows[-1]]
                cost = (
                    np.square(before).sum(1)[:, None] + np.square(points[drawn]).sum(1) - 2 * before @ points[drawn].T
                )
                drawn = drawn[linear_sum_assignment(cost)[1]]
            rows.append(drawn)
        rounds.append(rows)
    return [np.concatenate(column) for column in zip(*rounds, strict=True)]


def _couple_groups(
    snapshots: Sequence[np.ndarray],
    groups: Sequence[np.ndarray] | None,
    rng: np.random.Generator,
    growth: Sequence[np.ndarray] | None,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Draw paths, of each group as many as its share; their rows and the group of each (``None`` without groups)."""
    if groups is None:
        return couple(snapshots, N_PATHS, rng, growth=growth), None
    share = np.stack([part.mean(0) for part in groups]).mean(0)
    parts, names = [], []
    for group, part in enumerate(share):
        n_paths = max(CELLS_AT_ONCE, round(N_PATHS * part))
        theirs = [rows[:, group] for rows in groups]
        parts.append(couple(snapshots, n_paths, rng, weights=theirs, growth=growth))
        names.append(np.full(len(parts[-1][0]), group))
    return [np.concatenate(column) for column in zip(*parts, strict=True)], np.concatenate(names)


def _log_mass(growth: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> np.ndarray:
    """Share of each path among the cells of each snapshot, as a logarithm, ``(n_paths, n_knots)``; the mean share is 1.

    At the last snapshot all paths are alike. Before, a path counts less the more it has yet to grow.
    """
    until_next = np.stack([part[row] for part, row in zip(growth, rows, strict=False)], 1)
    ahead = until_next[:, ::-1].cumsum(1)[:, ::-1]
    log_mass = np.column_stack([-ahead, np.zeros(len(ahead))])
    return log_mass - logsumexp(log_mass, axis=0, b=1 / len(log_mass))


def spline_weights(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the knots in the natural cubic spline through them, and in its derivative, ``(n_at, n_knots)``.

    The spline is the smoothest path through the snapshots (least integrated squared acceleration); with two knots it
    is the straight line of optimal-transport flow matching.
    """
    if len(knots) == 2:
        share = (at - knots[0]) / (knots[1] - knots[0])
        slope = np.full_like(at, 1 / (knots[1] - knots[0]))
        return np.column_stack([1 - share, share]), np.column_stack([-slope, slope])
    spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
    return spline(at), spline(at, 1)


def line_weights(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the knots in the polygon through them, and in its derivative, ``(n_at, n_knots)``."""
    after = np.clip(np.searchsorted(knots, at, side="right"), 1, len(knots) - 1)
    gap = knots[after] - knots[after - 1]
    share = (at - knots[after - 1]) / gap
    place, slope = np.zeros((2, len(at), len(knots)))
    rows = np.arange(len(at))
    place[rows, after - 1], place[rows, after] = 1 - share, share
    slope[rows, after - 1], slope[rows, after] = -1 / gap, 1 / gap
    return place, slope


def _missed(
    module: ODEVAE,
    draws: Sequence[Tensor],
    cells: SnapshotCells,
    matching: Matching,
    rng: np.random.Generator,
    *,
    kinetic: bool = False,
) -> tuple[Tensor, Tensor]:
    """Distance between a snapshot that the field has moved to a neighbour, forward or backward, and that neighbour.

    Also the mean kinetic energy of the way over its length of time. With groups, both are the cells of one group, which
    is drawn by its share. Moved cells that grow weigh what they grow to.
    """
    first = int(rng.integers(len(draws) - 1))
    source, goal = (first, first + 1) if rng.random() < 0.5 else (first + 1, first)
    pair = draws[source], draws[goal]
    if cells.groups is None:
        theirs, drawn = None, [rng.integers(len(part), size=min(len(part), CELLS_AT_ONCE)) for part in pair]
    else:
        share = cells.groups[source].mean(0)
        group = int(rng.choice(len(share), p=share / share.sum()))
        chances = [part[:, group] / part[:, group].sum() for part in (cells.groups[source], cells.groups[goal])]
        drawn = [rng.choice(len(p), min(len(p), CELLS_AT_ONCE), p=p) for p in chances]
        theirs = one_hot(torch.full((len(drawn[0]),), group, device=pair[0].device), len(share)).to(pair[0])
    rows = [torch.as_tensor(part, device=pair[0].device) for part in drawn]
    times = module.scale_time(module.times)
    begin, end = float(times[source]), float(times[goal])
    theta = module.theta(len(rows[0]), cells.baseline[source][rows[0]], theirs)
    here = draws[source][rows[0]]
    weight = growth_weight(None if cells.growth is None else cells.growth[source][rows[0]], end - begin)
    if not kinetic:
        moved = solve(module.field, here, begin, end, theta, n_steps=4)
        return matching(moved, draws[goal][rows[1]], weight), moved.new_zeros(())
    moved, energy = kinetic_energy(module.field, here, begin, end, theta, n_steps=4)
    return matching(moved, draws[goal][rows[1]], weight), energy.mean() / abs(end - begin)


# The matrices are small: on two busy cores two threads took 40 s of CPU time for 400 steps, one thread 2.8 s.
@threads_for(1)
def match_flow(
    module: ODEVAE,
    cells: SnapshotCells,
    *,
    path: str = "spline",
    matching: Matching | None = None,
    matching_weight: float = 1.0,
    kinetic_weight: float = 0.0,
    n_steps: int = 2000,
    batch_size: int = 256,
    lr: float = 2e-3,
) -> list[float]:
    r"""Fit the field to the velocities of smooth paths through the snapshots :cite:p:`Lipman23,Tong24`.

    Cells of neighbouring snapshots are coupled by optimal transport, a natural cubic spline is laid through each chain
    of cells, and the field regresses the velocity of the splines at random times,
    :math:`\mathrm{E} |f(t, z_t) - \dot z_t|^2`. Its minimiser moves each snapshot onto the next. What a finite network
    misses of that is corrected in the second half of the run, in every `MATCH_EVERY`-th step: a snapshot is moved to a
    neighbour by solving the field, and the distance to the cells found there is added to the loss.

    Where growth rates :math:`r` are known, paths are lines of ancestors (see :func:`couple`), and each counts at time
    :math:`t` as much as it had grown by then, :math:`\propto \exp(-\int_t^1 r)`: the field is the mean velocity of the
    cells that are there, not of those that will have many descendants.

    Parameters
    ----------
    module
        Module whose field and parameter network are trained; nothing else changes.
    cells
        Cells of each training time.
    path
        ``"spline"`` or ``"linear"`` paths between the snapshots.
    matching
        Distance between moved and found cells; ``None`` for flow matching alone.
    matching_weight
        Its weight.
    kinetic_weight
        Weight of the mean squared speed of the moved cells, in latent units per scaled time.
    n_steps
        Steps of Adam, with a learning rate that falls to zero along a cosine.
    batch_size
        Paths in a step.
    lr
        First learning rate.

    Returns
    -------
    Mean loss of each tenth of the run.
    """
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    knots = module.scale_time(module.times.cpu().numpy())
    mean, variance = cells.mean, cells.variance
    growth = cells.growth_of_gaps(knots)
    rows, names = _couple_groups([part.double().cpu().numpy() for part in mean], cells.groups, rng, growth)
    device = mean[0].device
    log_mass = None if growth is None else torch.as_tensor(_log_mass(growth, rows), device=device)
    index = [torch.as_tensor(part, device=device) for part in rows]
    centre = torch.stack([part[row] for part, row in zip(mean, index, strict=True)], 1)
    spread = torch.stack([part[row].sqrt() for part, row in zip(variance, index, strict=True)], 1)
    covariates = cells.baseline[0][index[0]]
    theirs = None if names is None else one_hot(torch.as_tensor(names, device=device), module.n_groups).to(centre)
    parameters = [*module.field.parameters(), *module.parameter_net.parameters()]
    parameters = [parameter for parameter in parameters if parameter.requires_grad and parameter.numel()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    losses = np.zeros(n_steps)
    draws = [m + v.sqrt() * torch.randn_like(m) for m, v in zip(mean, variance, strict=True)]
    with torch.enable_grad():
        for step in range(n_steps):
            chosen = torch.as_tensor(rng.integers(len(centre), size=batch_size), device=device)
            at = rng.random(batch_size)
            weights_at = (spline_weights if path == "spline" else line_weights)(knots, at)
            place, slope = (torch.as_tensor(part, dtype=centre.dtype, device=device) for part in weights_at)
            points = centre[chosen] + spread[chosen] * torch.randn_like(spread[chosen])
            z, velocity = (torch.einsum("bk,bkl->bl", weights, points) for weights in (place, slope))
            t = torch.as_tensor(at, dtype=z.dtype, device=device)
            group = None if theirs is None else theirs[chosen]
            error = (module.velocity(t, z, covariates[chosen], group) - velocity).square().sum(-1)
            if log_mass is not None:
                between = torch.as_tensor(line_weights(knots, at)[0], device=device)
                error = error * (between * log_mass[chosen]).sum(1).exp().to(error)
            loss = error.mean()
            if matching is not None and step >= n_steps // 2 and step % MATCH_EVERY == 0:
                missed, energy = _missed(module, draws, cells, matching, rng, kinetic=kinetic_weight > 0)
                loss = loss + matching_weight * missed + kinetic_weight * energy
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
            schedule.step()
            losses[step] = float(loss.detach())
    return [float(part.mean()) for part in np.array_split(losses, min(10, n_steps))]
