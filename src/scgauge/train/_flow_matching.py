"""Flow matching: a vector field from smooth paths through optimally coupled snapshots, without solving it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import one_hot

from scgauge._core.threads import threads_for
from scgauge.nn import growth_weight, kinetic_energy, solve, to_device
from scgauge.train._snapshot_paths import CELLS_AT_ONCE, N_PATHS, Paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scgauge.module import ODEVAE
    from scgauge.nn import Matching
    from scgauge.train._snapshot_paths import SnapshotCells

#: Subjects of a cohort in a step, and fewest paths of each.
SUBJECTS_AT_ONCE, FEWEST_PATHS = 8, 512
#: Steps of flow matching for each step that also solves the field.
MATCH_EVERY = 4


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
    rows = [to_device(part, pair[0].device) for part in drawn]
    times = cells.knots(module)
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
    *series: SnapshotCells,
    path: str = "spline",
    matching: Matching | None = None,
    matching_weight: float = 1.0,
    kinetic_weight: float = 0.0,
    shrinkage: float = 0.0,
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
    *series
        Cells of each training time; of cohorts those of each subject, which are coupled and compared by themselves. In
        each step a few subjects are drawn, all alike.
    path
        ``"spline"`` or ``"linear"`` paths between the snapshots.
    matching
        Distance between moved and found cells; ``None`` for flow matching alone.
    matching_weight
        Its weight.
    kinetic_weight
        Weight of the mean squared speed of the moved cells, in latent units per scaled time.
    shrinkage
        Weight of the mean squared size of what baseline variables add to the parameters of subjects.
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
    n_paths = max(FEWEST_PATHS, N_PATHS // len(series))
    # Read once: they are on the device of the module.
    series = tuple(cells._replace(times=cells.knots(module)) for cells in series)
    paths = [Paths.through(module, cells, rng, n_paths) for cells in series]
    parameters = [*module.field.parameters(), *module.parameter_net.parameters()]
    parameters = [parameter for parameter in parameters if parameter.requires_grad and parameter.numel()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    chosen: Sequence[int] = range(len(series))
    draws = [
        [m + v.sqrt() * torch.randn_like(m) for m, v in zip(cells.mean, cells.variance, strict=True)]
        for cells in series
    ]
    everybody = torch.cat([cells.baseline[0][:1] for cells in series])
    losses = draws[0][0].new_zeros(n_steps)
    with torch.enable_grad():
        for step in range(n_steps):
            if len(series) > 1:
                chosen = rng.choice(len(series), min(len(series), SUBJECTS_AT_ONCE), replace=False).tolist()
            drawn = [paths[index].draw(max(1, batch_size // len(chosen)), path, rng) for index in chosen]
            joined: list[Any] = [None if part[0] is None else torch.cat(part) for part in zip(*drawn, strict=True)]
            t, z, velocity, baseline, group, mass = joined
            error = (module.velocity(t, z, baseline, group) - velocity).square().sum(-1)
            loss = error.mean() if mass is None else (mass * error).mean()
            if shrinkage:
                loss = loss + shrinkage * module.parameter_net.shrinkage(everybody)
            if matching is not None and step >= n_steps // 2 and step % MATCH_EVERY == 0:
                one = chosen[0]
                missed, energy = _missed(module, draws[one], series[one], matching, rng, kinetic=kinetic_weight > 0)
                loss = loss + matching_weight * missed + kinetic_weight * energy
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
            schedule.step()
            losses[step] = loss.detach()
    return [float(part.mean()) for part in losses.tensor_split(min(10, n_steps))]
