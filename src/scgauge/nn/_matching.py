"""Differentiable distances between two clouds of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MatchingName = Literal["energy", "sinkhorn", "sliced", "mmd"]
MATCHINGS: tuple[str, ...] = get_args(MatchingName)
Matching: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"

#: Added to squared distances, so that the root has a gradient where points coincide.
_SMALL = 1e-12


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return ((x[:, None] - y[None]).square().sum(-1) + _SMALL).sqrt()


def _mean_of_pairs(values: Tensor) -> Tensor:
    """Mean over pairs of different points."""
    n = len(values)
    return (values.sum() - values.diagonal().sum()) / (n * (n - 1))


def energy(x: Tensor, y: Tensor) -> Tensor:
    """Energy distance, unbiased, as :func:`scgauge.metrics.energy_distance` with the estimator "u"."""
    within = _mean_of_pairs(_distances(x, x)) + _mean_of_pairs(_distances(y, y))
    return 2 * _distances(x, y).mean() - within


def mmd(x: Tensor, y: Tensor, *, bandwidths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)) -> Tensor:
    """Squared maximum mean discrepancy with a mean of Laplace kernels, unbiased."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distance = _distances(a, b)
        return torch.stack([torch.exp(-distance / width) for width in bandwidths]).mean(0)

    return _mean_of_pairs(kernel(x, x)) + _mean_of_pairs(kernel(y, y)) - 2 * kernel(x, y).mean()


def sliced(x: Tensor, y: Tensor, *, n_slices: int = 64) -> Tensor:
    """Mean over random directions of the one-dimensional Wasserstein-1 distance between quantiles."""
    directions = torch.randn(x.shape[1], n_slices, dtype=x.dtype, device=x.device)
    directions = directions / directions.norm(dim=0)
    n = max(len(x), len(y))
    levels = (torch.arange(n, dtype=x.dtype, device=x.device) + 0.5) / n
    quantiles = [torch.quantile(points @ directions, levels, dim=0) for points in (x, y)]
    return (quantiles[0] - quantiles[1]).abs().mean()


def sinkhorn(x: Tensor, y: Tensor, *, blur: float = 0.05, n_iterations: int = 50) -> Tensor:
    """Sinkhorn divergence of half the squared Euclidean distance, in the log domain.

    `blur` is the standard deviation of the entropic smoothing, reached by halving from the size of the clouds.
    """

    def cost(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b[None]).square().sum(-1) / 2

    def transport(a: Tensor, b: Tensor) -> Tensor:
        c = cost(a, b)
        # The potentials are found without gradients; at the optimum the value has the gradient of the plan alone.
        with torch.no_grad():
            f, g = c.new_zeros(len(a)), c.new_zeros(len(b))
            log_a, log_b = -torch.log(c.new_tensor(len(a))), -torch.log(c.new_tensor(len(b)))
            epsilon = float(c.max().clamp(min=blur**2))
            for _ in range(n_iterations):
                epsilon = max(epsilon / 2, blur**2)
                f = -epsilon * torch.logsumexp((g - c) / epsilon + log_b, dim=1)
                g = -epsilon * torch.logsumexp((f[:, None] - c) / epsilon + log_a, dim=0)
            plan = torch.exp((f[:, None] + g - c) / epsilon + log_a + log_b)
            value = f.mean() + g.mean()
        linear = (plan * c).sum()
        return linear - linear.detach() + value

    return transport(x, y) - (transport(x, x) + transport(y, y)) / 2


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
