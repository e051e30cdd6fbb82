"""Paths through snapshots: cells of neighbouring snapshots coupled by optimal transport, joined by smooth curves."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, softmax
from torch.nn.functional import one_hot

from scgauge._core.sampling import resample
from scgauge.nn import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scgauge.module import ODEVAE

#: Cells of each snapshot that are coupled at once, and paths that are made for a fit.
CELLS_AT_ONCE, N_PATHS = 128, 4096


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
    times
        Scaled times of the snapshots, if they are not the training times of the module.
    """

    mean: list[Tensor]
    variance: list[Tensor]
    baseline: list[Tensor]
    groups: list[np.ndarray] | None = None
    growth: list[Tensor] | None = None
    times: np.ndarray | None = None

    def knots(self, module: ODEVAE) -> np.ndarray:
        """Return the scaled times of the snapshots."""
        return module.scale_time(module.times.cpu().numpy()) if self.times is None else self.times

    def growth_of_gaps(self, times: np.ndarray) -> list[np.ndarray] | None:
        """Return how much each cell of all snapshots but the last grows until the next, as a logarithm."""
        if self.growth is None:
            return None
        return [rate.double().cpu().numpy() * gap for rate, gap in zip(self.growth, np.diff(times), strict=False)]

    def before_last(self) -> SnapshotCells:
        """Return all snapshots but the last."""
        return SnapshotCells(*(None if part is None else part[:-1] for part in self))  # type: ignore[arg-type]


def subject_cells(module: ODEVAE, columns: tuple[Tensor, ...]) -> list[SnapshotCells]:
    """Divide encoded cells (see :meth:`ODEVAE.encode_all`) among their subjects; those with one time are left out.

    Raises
    ------
    ValueError
        If no subject has two times.
    """
    mean, variance, time, baseline, growth, subject = columns
    series = []
    for number in subject[:, 0].unique():
        mine = subject[:, 0] == number
        times = time[mine].unique()
        if len(times) < 2:
            continue
        parts = [mine & (time == at) for at in times]
        series.append(
            SnapshotCells(
                mean=[mean[rows] for rows in parts],
                variance=[variance[rows] for rows in parts],
                baseline=[baseline[rows] for rows in parts],
                growth=[module.span * growth[rows, 0] for rows in parts] if growth.numel() else None,
                times=module.scale_time(times.double().cpu().numpy()),
            )
        )
    if not series:
        message = "No subject of the training set has two times. Raise train_size, or pass more subjects."
        raise ValueError(message)
    return series


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
    total: int,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Draw paths, of each group as many as its share; their rows and the group of each (``None`` without groups)."""
    if groups is None:
        return couple(snapshots, total, rng, growth=growth), None
    share = np.stack([part.mean(0) for part in groups]).mean(0)
    parts, names = [], []
    for group, part in enumerate(share):
        n_paths = max(CELLS_AT_ONCE, round(total * part))
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


@lru_cache
def _natural_spline(knots: tuple[float, ...]) -> CubicSpline:
    return CubicSpline(knots, np.eye(len(knots)), bc_type="natural")


def spline_weights(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the knots in the natural cubic spline through them, and in its derivative, ``(n_at, n_knots)``.

    The spline is the smoothest path through the snapshots (least integrated squared acceleration); with two knots it
    is the straight line of optimal-transport flow matching.
    """
    if len(knots) == 2:
        share = (at - knots[0]) / (knots[1] - knots[0])
        slope = np.full_like(at, 1 / (knots[1] - knots[0]))
        return np.column_stack([1 - share, share]), np.column_stack([-slope, slope])
    spline = _natural_spline(tuple(knots.tolist()))
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


class Paths(NamedTuple):
    """Paths through the snapshots of one series.

    Attributes
    ----------
    knots
        Scaled times of the snapshots, ``(n_knots,)``.
    centre, spread
        Means and standard deviations of the points that the paths pass through, ``(n_paths, n_knots, n_latent)``.
    baseline
        Baseline variables, ``(n_paths, n_baseline)``.
    group
        Groups as rows of zeros and a one, ``(n_paths, n_groups)``, if there are several.
    log_mass
        Logarithms of the shares of the paths at the knots, ``(n_paths, n_knots)``, if cells grow.
    """

    knots: np.ndarray
    centre: Tensor
    spread: Tensor
    baseline: Tensor
    group: Tensor | None
    log_mass: Tensor | None

    @classmethod
    def through(cls, module: ODEVAE, cells: SnapshotCells, rng: np.random.Generator, n_paths: int = N_PATHS) -> Paths:
        """Couple the cells of a series."""
        knots, mean = cells.knots(module), cells.mean
        growth = cells.growth_of_gaps(knots)
        rows, names = _couple_groups([part.double().cpu().numpy() for part in mean], cells.groups, rng, growth, n_paths)
        device = mean[0].device
        index = [to_device(part, device) for part in rows]
        centre = torch.stack([part[row] for part, row in zip(mean, index, strict=True)], 1)
        return cls(
            knots=knots,
            centre=centre,
            spread=torch.stack([part[row].sqrt() for part, row in zip(cells.variance, index, strict=True)], 1),
            baseline=cells.baseline[0][index[0]],
            group=None if names is None else one_hot(to_device(names, device), module.n_groups).to(centre),
            log_mass=None if growth is None else to_device(_log_mass(growth, rows), device),
        )

    def draw(self, n: int, path: str, rng: np.random.Generator) -> tuple[Any, ...]:
        """Draw places on some paths at random times between the first snapshot and the last.

        Returns
        -------
        Scaled times, places, velocities, baseline variables, groups and shares of the paths, ``(n, ...)``; groups or
        shares are ``None`` if there are none.
        """
        device = self.centre.device
        chosen = to_device(rng.integers(len(self.centre), size=n), device)
        at = self.knots[0] + (self.knots[-1] - self.knots[0]) * rng.random(n)
        weights_at = (spline_weights if path == "spline" else line_weights)(self.knots, at)
        place, slope = (to_device(part, device, self.centre.dtype) for part in weights_at)
        points = self.centre[chosen] + self.spread[chosen] * torch.randn_like(self.spread[chosen])
        z, velocity = (torch.einsum("bk,bkl->bl", weights, points) for weights in (place, slope))
        t = to_device(at, device, z.dtype)
        group, mass = None if self.group is None else self.group[chosen], None
        if self.log_mass is not None:
            between = to_device(line_weights(self.knots, at)[0], device)
            mass = (between * self.log_mass[chosen]).sum(1).exp().to(z)
        return t, z, velocity, self.baseline[chosen], group, mass
