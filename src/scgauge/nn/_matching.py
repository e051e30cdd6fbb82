"""Differentiable distances between two clouds of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MatchingName = Literal["energy", "sinkhorn", "sliced", "mmd"]
MATCHINGS: tuple[str, ...] = get_args(MatchingName)
#: ``matching(x, y, weight)``: `weight` of the points of `x`, ``(n,)``, sums to 1; all are alike if it is left out.
Matching: TypeAlias = "Callable[..., Tensor]"

#: Added to squared distances, so that the root has a gradient where points coincide.
_SMALL = 1e-12


def growth_weight(rate: Tensor | None, gap: float) -> Tensor | None:
    r"""Weight of cells that multiply until they are matched a gap of time later, :math:`\propto e^{r \Delta t}`.

    ``None`` (all alike) without rates. Backward, with a negative gap, it is the weight of their ancestors.
    """
    return None if rate is None else torch.softmax(rate * gap, 0)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return ((x[:, None] - y[None]).square().sum(-1) + _SMALL).sqrt()


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of everything, with a weight for each row."""
    return values.mean() if weight is None else (weight * values.mean(1)).sum()


def _mean_of_pairs(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over pairs of different points."""
    if weight is None:
        n = len(values)
        return (values.sum() - values.diagonal().sum()) / (n * (n - 1))
    pairs = torch.outer(weight, weight).fill_diagonal_(0)
    return (pairs * values).sum() / pairs.sum()


def energy(x: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Energy distance, unbiased, as :func:`scgauge.metrics.energy_distance` with the estimator "u"."""
    within = _mean_of_pairs(_distances(x, x), weight) + _mean_of_pairs(_distances(y, y))
    return 2 * _mean(_distances(x, y), weight) - within


def mmd(
    x: Tensor, y: Tensor, weight: Tensor | None = None, *, bandwidths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
) -> Tensor:
    """Squared maximum mean discrepancy with a mean of Laplace kernels, unbiased."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance = _distances(a, b)
        return torch.stack([torch.exp(-distance / width) for width in bandwidths]).mean(0)

    within = _mean_of_pairs(kernel(x, x), weight) + _mean_of_pairs(kernel(y, y))
    return within - 2 * _mean(kernel(x, y), weight)


def _quantiles(values: Tensor, levels: Tensor, weight: Tensor | None) -> Tensor:
    """Quantiles of each column, ``(n_levels, n_columns)``; of weighted points the inverse of the step function."""
    if weight is None:
        return torch.quantile(values, levels, dim=0)
    ordered, order = values.sort(0)
    cumulated = weight[order].cumsum(0).T.contiguous()
    rows = torch.searchsorted(cumulated, levels.expand(len(cumulated), -1).contiguous())
    return ordered.gather(0, rows.clamp(max=len(values) - 1).T)


def sliced(x: Tensor, y: Tensor, weight: Tensor | None = None, *, n_slices: int = 64) -> Tensor:
    """Mean over random directions of the one-dimensional Wasserstein-1 distance between quantiles."""
    directions = torch.randn(x.shape[1], n_slices, dtype=x.dtype, device=x.device)
    directions = directions / directions.norm(dim=0)
    n = max(len(x), len(y))
    levels = (torch.arange(n, dtype=x.dtype, device=x.device) + 0.5) / n
    quantiles = [_quantiles(points @ directions, levels, part) for points, part in ((x, weight), (y, None))]
    return (quantiles[0] - quantiles[1]).abs().mean()


def sinkhorn(
    x: Tensor, y: Tensor, weight: Tensor | None = None, *, blur: float = 0.05, n_iterations: int = 50
) -> Tensor:
    """Sinkhorn divergence of half the squared Euclidean distance, in the log domain.

    `blur` is the standard deviation of the entropic smoothing, reached by halving from the size of the clouds.
    """

    def cost(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b[None]).square().sum(-1) / 2

    def logs(points: Tensor, part: Tensor | None) -> Tensor:
        return -torch.log(points.new_tensor(len(points))).expand(len(points)) if part is None else part.log()

    def transport(a: Tensor, b: Tensor, at_a: Tensor | None, at_b: Tensor | None) -> Tensor:
        c = cost(a, b)
        # The potentials are found without gradients; at the optimum the value has the gradient of the plan alone.
        with torch.no_grad():
            f, g = c.new_zeros(len(a)), c.new_zeros(len(b))
            log_a, log_b = logs(a, at_a)[:, None], logs(b, at_b)
            epsilon = float(c.max().clamp(min=blur**2))
            for _ in range(n_iterations):
                epsilon = max(epsilon / 2, blur**2)
                f = -epsilon * torch.logsumexp((g - c) / epsilon + log_b, dim=1)
                g = -epsilon * torch.logsumexp((f[:, None] - c) / epsilon + log_a, dim=0)
            plan = torch.exp((f[:, None] + g - c) / epsilon + log_a + log_b)
            value = _mean(f[:, None], at_a) + _mean(g[:, None], at_b)
        linear = (plan * c).sum()
        return linear - linear.detach() + value

    between = transport(x, y, weight, None)
    return between - (transport(x, x, weight, weight) + transport(y, y, None, None)) / 2


def make_matching(name: str) -> Matching:
    """Return a distance by name.

    Raises
    ------
    ValueError
        If the name is not one of `MATCHINGS`.
    """
    known = {"energy": energy, "sinkhorn": sinkhorn, "sliced": sliced, "mmd": mmd}
    if name not in known:
        message = f"matching={name!r} was given; choose from {list(MATCHINGS)}."
        raise ValueError(message)
    return known[name]
