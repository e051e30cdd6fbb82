"""States of individuals from all their visits: each visit is a start, starts are combined by inverse variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from scgauge.nn._solve import affine_map, solve

if TYPE_CHECKING:
    from torch import Tensor

#: Smallest variance of a carried state.
VARIANCE_FLOOR = 1e-6


class States(NamedTuple):
    """Gaussians with diagonal covariance, ``(n, n_latent)`` each."""

    mean: Tensor
    variance: Tensor


def carry(
    field: Any,
    states: States,
    start: Tensor,
    end: Tensor,
    theta: Tensor,
    *,
    diffusion: Tensor | None = None,
    n_steps: int = 8,
) -> States:
    r"""Carry Gaussian states along a field, each from its start to its end.

    The variance is :math:`\operatorname{diag}(J \Sigma J^\top) + q |t_1 - t_0|` with the Jacobian :math:`J` of the
    flow: the matrix exponential of an affine field, else differences between states one standard deviation to either
    side.

    Parameters
    ----------
    field
        Vector field ``forward(t, z, theta)``.
    states
        States at the start.
    start, end
        Scaled times, ``(n,)``; the end may come first.
    theta
        Parameters of each row, ``(n, n_theta)``.
    diffusion
        Variance that a unit of scaled time adds, ``(n_latent,)``; ``None`` for none.
    n_steps
        Steps of the solver; not read by affine fields.
    """
    mean, variance = states
    size = mean.shape[1]
    if hasattr(field, "system"):
        matrix, offset = field.system(theta)
        jacobian, shift = affine_map(matrix, offset, end - start)
        moved = torch.einsum("nij,nj->ni", jacobian, mean) + shift
        spread = torch.einsum("nij,nj->ni", jacobian.square(), variance)
    else:
        step = torch.diag_embed(variance.sqrt())  # (n, n_latent, n_latent), one row for each direction
        points = torch.cat((mean[:, None], mean[:, None] + step, mean[:, None] - step), dim=1)
        copies = points.shape[1]
        several = [part.repeat_interleave(copies, 0) for part in (start, end, theta)]
        ends = solve(field, points.flatten(0, 1), *several, n_steps=n_steps).unflatten(0, (-1, copies))
        moved, above, below = ends[:, 0], ends[:, 1 : size + 1], ends[:, size + 1 :]
        spread = ((above - below) / 2).square().sum(1)
    if diffusion is not None:
        spread = spread + diffusion * (end - start).abs()[:, None]
    return States(moved, spread.clamp(min=VARIANCE_FLOOR))


def pairs_within(target: Tensor, source: Tensor, *, without_own: bool = False) -> tuple[Tensor, Tensor]:
    """Return all pairs of a target and a source of one individual.

    Parameters
    ----------
    target, source
        Numbers of the individuals, ``(n_targets,)`` and ``(n_sources,)`` integers.
    without_own
        Whether to leave out pairs of equal rows, where targets and sources are the same rows.

    Returns
    -------
    Rows of the targets and of the sources, ``(n_pairs,)`` each.
    """
    same = target[:, None] == source
    if without_own:
        same.fill_diagonal_(fill_value=False)
    rows, columns = same.nonzero(as_tuple=True)
    return rows, columns


def combine(states: States, target: Tensor, n_targets: int, *, independent: bool = True) -> States:
    r"""Combine states by inverse variance, in each dimension.

    With the weights :math:`w_k \propto 1 / v_k` of the states of a target, the variance of the combination is
    :math:`\sum_k w_k^2 v_k = 1 / \sum_k v_k^{-1}` where their errors are independent. It is at most
    :math:`(\sum_k w_k \sqrt{v_k})^2`, which it reaches where the errors are the same but for their size.

    Parameters
    ----------
    states
        States, ``(n, n_latent)``.
    target
        Which target a state speaks of, ``(n,)`` integers.
    n_targets
        Number of targets. One of which nothing speaks gets mean 0 and variance 1, the prior.
    independent
        Whether the errors of the states are taken to be independent, or alike.
    """
    precision = 1 / states.variance
    total = precision.new_zeros(n_targets, precision.shape[1]).index_add(0, target, precision)
    weighted = torch.zeros_like(total).index_add(0, target, precision * states.mean)
    known = total > 0
    total = torch.where(known, total, 1.0)
    if independent:
        return States(weighted / total, 1 / total)
    spread = torch.zeros_like(total).index_add(0, target, precision.sqrt())
    return States(weighted / total, torch.where(known, spread / total, 1.0).square())
