"""Solutions of the latent dynamics: matrix exponential where there is a closed form, else torchdiffeq."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from scgauge._core.optional import later

if TYPE_CHECKING:
    from torch import Tensor

#: Steps for one unit of scaled time.
STEPS_PER_UNIT = 32


def affine_map(matrix: Tensor, offset: Tensor, span: Tensor) -> tuple[Tensor, Tensor]:
    r"""Solve :math:`\dot z = A z + c` exactly over a span of time; A need not be invertible.

    .. math::

        \begin{pmatrix} z(t) \\ 1 \end{pmatrix}
            = \exp\left(t \begin{pmatrix} A & c \\ 0 & 0 \end{pmatrix}\right) \begin{pmatrix} z_0 \\ 1 \end{pmatrix}

    Parameters
    ----------
    matrix, offset
        Systems, ``(n, n_latent, n_latent)`` and ``(n, n_latent)``.
    span
        Length of time of each, ``(n,)``; may be negative.

    Returns
    -------
    Matrices ``(n, n_latent, n_latent)`` and shifts ``(n, n_latent)`` that take a state from the start to the end.
    """
    n, size = offset.shape
    joined = offset.new_zeros(n, size + 1, size + 1)
    joined[:, :size, :size] = matrix * span[:, None, None]
    joined[:, :size, size] = offset * span[:, None]
    solved = torch.linalg.matrix_exp(joined)
    return solved[:, :size, :size], solved[:, :size, size]


def affine_flow(matrix: Tensor, offset: Tensor, z: Tensor, span: Tensor) -> Tensor:
    """Carry states ``(n, n_latent)`` by `affine_map`."""
    linear, shift = affine_map(matrix, offset, span)
    return torch.einsum("nij,nj->ni", linear, z) + shift


def _column(value: Tensor | float, like: Tensor) -> Tensor:
    # A number is filled in on the device; the host would wait until it is handed over.
    column = value.to(like) if isinstance(value, torch.Tensor) else like.new_full((), value)
    return column.reshape(-1).expand(len(like))


def solve(
    field: Any,
    z: Tensor,
    start: Tensor | float,
    end: Tensor | float,
    theta: Tensor,
    *,
    n_steps: int = 8,
    derivative: Any = None,
) -> Tensor:
    """Carry each state from its start to its end; no result depends on the other rows of the batch.

    Time is rescaled for each row to 0..1 and divided into `n_steps` equal steps, so that rows of different spans share
    one call. Affine fields are solved exactly, local-linear ones by the exponential midpoint rule.

    Parameters
    ----------
    field
        Vector field ``forward(t, z, theta)``.
    z
        States, ``(n, n_latent)``.
    start, end
        Scaled times, ``(n,)`` or numbers; the end may come first.
    theta
        Parameters of each row, ``(n, n_theta)``.
    n_steps
        Number of steps; not read by affine fields.
    derivative
        Function of ``(t, z)`` in place of the field, to solve something along with it.

    Returns
    -------
    States at the end, ``(n, n_latent)``.
    """
    begin, span = _column(start, z), _column(end, z) - _column(start, z)
    if derivative is None and hasattr(field, "system"):
        matrix, offset = field.system(theta)
        return affine_flow(matrix, offset, z, span)
    if derivative is None and hasattr(field, "local_system"):
        step = span / n_steps
        for index in range(n_steps):
            # Exponential midpoint rule, of second order: the system of a step is that in its middle.
            here = (begin + index * step)[:, None]
            matrix, offset = field.local_system(here, z, theta)
            middle = affine_flow(matrix, offset, z, step / 2)
            matrix, offset = field.local_system(here + step[:, None] / 2, middle, theta)
            z = affine_flow(matrix, offset, z, step)
        return z

    def rescaled(s: Tensor, state: Tensor) -> Tensor:
        t = (begin + s * span)[:, None]
        velocity = field(t, state, theta) if derivative is None else derivative(t, state)
        return span[:, None] * velocity

    clock = torch.arange(2, dtype=z.dtype, device=z.device)
    options = {"step_size": 1 / n_steps}
    return later("torchdiffeq").odeint(rescaled, z, clock, method="rk4", options=options)[-1]


def kinetic_energy(
    field: Any, z: Tensor, start: Tensor | float, end: Tensor | float, theta: Tensor, *, n_steps: int = 8
) -> tuple[Tensor, Tensor]:
    r"""Carry states as `solve` does, and sum up their kinetic energy on the way.

    Of all ways from one cloud to another within a time, straight lines at constant speed between optimally coupled
    points need the least, the squared distance over the time :cite:p:`Benamou00`.

    Parameters
    ----------
    field, z, start, end, theta, n_steps
        See `solve`. The number of steps counts for affine fields, too.

    Returns
    -------
    States at the end, ``(n, n_latent)``, and :math:`\int |\dot z|^2 \, |dt|` of each, ``(n,)``.
    """

    def derivative(t: Tensor, state: Tensor) -> Tensor:
        velocity = field(t, state[:, :-1], theta)
        return torch.cat((velocity, velocity.square().sum(-1, keepdim=True)), dim=-1)

    joined = torch.cat((z, z.new_zeros(len(z), 1)), dim=-1)
    ends = solve(field, joined, start, end, theta, n_steps=n_steps, derivative=derivative)
    return ends[:, :-1], ends[:, -1].abs()


def steps_between(start: float, end: float) -> int:
    """Return the number of steps from one scaled time to another."""
    return max(2, math.ceil(abs(end - start) * STEPS_PER_UNIT))


def solve_path(field: Any, z: Tensor, start: float, times: list[float], theta: Tensor) -> Tensor:
    """Carry states that share a start along a grid of times.

    Parameters
    ----------
    field
        Vector field ``forward(t, z, theta)``.
    z
        States, ``(n, n_latent)``.
    start
        Scaled time of the states.
    times
        Scaled times, in any order, before or after the start.
    theta
        Parameters of each row, ``(n, n_theta)``.

    Returns
    -------
    States, ``(n, n_times, n_latent)``.
    """
    path: dict[int, Tensor] = {}
    order = sorted(range(len(times)), key=lambda index: times[index])
    after = [index for index in order if times[index] >= start]
    before = [index for index in reversed(order) if times[index] < start]
    for part in (after, before):
        state, now = z, start
        for index in part:
            goal = times[index]
            if goal != now:
                state = solve(field, state, now, goal, theta, n_steps=steps_between(now, goal))
            path[index], now = state, goal
    return torch.stack([path[index] for index in range(len(times))], dim=1)


@torch.no_grad()
def step_error(field: Any, z: Tensor, start: float, end: float, theta: Tensor) -> float:
    """Largest difference that twice as many steps make, in units of the spread of the states."""
    n_steps = steps_between(start, end)
    once = solve(field, z, start, end, theta, n_steps=n_steps)
    twice = solve(field, z, start, end, theta, n_steps=2 * n_steps)
    spread = twice.std() if twice.numel() > 1 else twice.abs().mean()
    return float((once - twice).abs().max() / spread.clamp(min=1e-6))
