from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scgauge._core.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scgauge._core.arguments import InfiniteFloat

#: Numbers in the points of a path that are evaluated at once.
_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients along straight paths; returned by :func:`integrated_gradients`.

    Attributes
    ----------
    gradients
        Gradients averaged over the path, ``(n_points, n_targets, n_features)``.
    change
        Difference of the function between the ends of the path, ``(n_points, n_targets)``.
    completeness
        What the attributions of a point sum to, less `change`, ``(n_points, n_targets)``; 0 if the integral is exact.
    n_steps
        Number of nodes of the quadrature.
    difference
        The point less its baseline, ``(n_points, n_features)``.
    """

    gradients: Tensor
    change: Tensor
    completeness: Tensor
    n_steps: int
    difference: Tensor

    __repr__ = short_repr

    @property
    def attributions(self) -> Tensor:
        """Attribution of each feature, ``(n_points, n_targets, n_features)``."""
        return self.gradients * self.difference[:, None, :]

    @property
    def error(self) -> Tensor:
        """Largest completeness error of each target in units of its largest change, ``(n_targets,)``."""
        largest = self.change.abs().amax(dim=0)
        return self.completeness.abs().amax(dim=0) / largest.clamp(min=torch.finfo(largest.dtype).tiny)


def gradients_of(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``(n, n_targets)`` and gradients ``(n, n_targets, n_features)`` of a function of rows."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        values = function(points)
        n_targets = values.shape[1]
        parts = [
            torch.autograd.grad(values[:, target].sum(), points, retain_graph=target + 1 < n_targets)[0]
            for target in range(n_targets)
        ]
    return values.detach(), torch.stack(parts, dim=1)


def integrated_gradients(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    baseline: Tensor,
    n_steps: int = 50,
    tolerance: InfiniteFloat | None = None,
    max_steps: int = 1600,
) -> IntegratedGradients:
    r"""Integrate the gradients of a function along straight paths.

    The attribution of feature :math:`i` is :math:`(x_i - x'_i) \int_0^1 \partial_i F(x' + t (x - x')) dt`
    :cite:p:`Sundararajan17`, by Gauss-Legendre quadrature. Attributions of a point sum to :math:`F(x) - F(x')`
    (completeness); what is missing measures the error of the quadrature.

    Parameters
    ----------
    function
        Differentiable function of rows: takes ``(k * n_points, n_features)``, the points one after another and that
        ``k`` times, and returns ``(k * n_points, n_targets)``.
    x
        Points, ``(n_points, n_features)``.
    baseline
        Where the paths start, in the shape of `x` or to be broadcast to it.
    n_steps
        Number of nodes of the quadrature.
    tolerance
        Double the number of nodes until the completeness error of every target is at most this share of its largest
        change; ``None`` takes `n_steps` as they are.
    max_steps
        Largest number of nodes.

    Returns
    -------
    Averaged gradients, attributions and their completeness.

    Raises
    ------
    TypeError
        If `x` or `baseline` is not a dense tensor of floating point numbers.
    ValueError
        If `n_steps` is not positive, `x` is not two-dimensional, `baseline` does not fit it, or values are not finite.

    Examples
    --------
    >>> import torch, scgauge
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> def product(rows):
    ...     return rows.prod(1, keepdim=True)
    >>> result = scgauge.metrics.integrated_gradients(product, x, baseline=torch.zeros_like(x))
    >>> result.attributions.squeeze().tolist()
    [1.0, 1.0]
    """
    if n_steps < 1:
        message = f"n_steps={n_steps}; at least one step is needed."
        raise ValueError(message)
    _check_tensors(x, baseline)
    baseline = baseline.expand_as(x)
    difference = x - baseline
    if not callable(function):
        message = f"`function` is {type(function).__name__}; a function of tensors is needed."
        raise TypeError(message)
    with torch.no_grad():
        ends = function(x), function(baseline)
    if not all(isinstance(end, torch.Tensor) and end.dim() == 2 and len(end) == len(x) for end in ends):
        message = f"`function` must return a tensor ({len(x)}, n_targets) for {len(x)} points."
        raise TypeError(message)
    change = ends[0] - ends[1]
    while True:
        gradients = _mean_gradients(function, difference, baseline, n_steps)
        completeness = (gradients * difference[:, None, :]).sum(-1) - change
        result = IntegratedGradients(gradients, change, completeness, n_steps, difference)
        if tolerance is None or n_steps >= max_steps or bool((result.error <= tolerance).all()):
            return result
        n_steps = min(2 * n_steps, max_steps)


def _check_tensors(x: Tensor, baseline: Tensor) -> None:
    for name, tensor in (("x", x), ("baseline", baseline)):
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or tensor.layout is not torch.strided:
            found = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            message = (
                f"`{name}` is {found}; a dense tensor of floating point numbers is needed. Run: torch.as_tensor(x)"
            )
            raise TypeError(message)
        if not tensor.isfinite().all():
            message = f"`{name}` has values that are NaN or infinite; remove or fill them first."
            raise ValueError(message)
    if x.dim() != 2 or x.numel() == 0:
        message = f"`x` has the shape {tuple(x.shape)}; (n_points, n_features) is needed, at least one of each."
        raise ValueError(message)
    if baseline.dim() > 2 or any(a not in (1, b) for a, b in zip(baseline.shape[::-1], x.shape[::-1], strict=False)):
        message = f"`baseline` has the shape {tuple(baseline.shape)}, which does not fit that of `x`, {tuple(x.shape)}."
        raise ValueError(message)


def _mean_gradients(function: Callable[[Tensor], Tensor], difference: Tensor, baseline: Tensor, n_steps: int) -> Tensor:
    """Gradients averaged over the nodes, some nodes at a time."""
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    at, weight = (torch.as_tensor(v, dtype=difference.dtype, device=difference.device) for v in (nodes, weights))
    at, weight = (at + 1) / 2, weight / 2
    size = max(1, _NUMBERS_AT_ONCE // max(1, difference.numel()))
    total: Tensor | None = None
    for start in range(0, n_steps, size):
        some = slice(start, start + size)
        points = (baseline + at[some, None, None] * difference).flatten(0, 1)
        _, gradients = gradients_of(function, points)
        part = torch.einsum("s,snkp->nkp", weight[some], gradients.unflatten(0, (-1, len(difference))))
        total = part if total is None else total + part
    if total is None:
        raise AssertionError
    return total
