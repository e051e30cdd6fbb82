r"""Differences of log-gamma and digamma functions that stay exact for small and for large arguments.

The difference of two log-gamma functions loses all digits for a large argument, and is infinite minus infinite for one
that underflows. Here small arguments enter by their logarithm and large ones by Stirling's series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: From here on Stirling's series with four terms is exact to 1e-12.
_LARGE = 16.0

#: Counts up to here are read from a table of genes x counts, which costs more the larger it is.
_LARGEST_TABLED = 8


def log_rising_factorial(x: Tensor, theta: Tensor, log_theta: Tensor) -> Tensor:
    r"""Return :math:`\log\Gamma(x + \theta) - \log\Gamma(\theta)` for counts `x` of at least 1.

    Parameters
    ----------
    x
        Counts, at least 1.
    theta, log_theta
        Positive numbers and their logarithms, in the shape of `x`.
    """
    moderate = theta.clamp(max=_LARGE)
    direct = torch.lgamma(x + moderate) - torch.lgamma(1 + moderate) + log_theta
    large = theta.clamp(min=_LARGE)
    upper = x + large
    series = (large + (x - 0.5)) * torch.log1p(x / large) + (x * log_theta - x) + (_stirling(upper) - _stirling(large))
    return torch.where(theta < _LARGE, direct, series)


def scaled_digamma_difference(x: Tensor, theta: Tensor) -> Tensor:
    r"""Return :math:`\theta\,(\psi(x + \theta) - \psi(\theta))`, the derivative of the above by the log of `theta`.

    Parameters
    ----------
    x
        Counts, at least 1.
    theta
        Positive numbers, in the shape of `x`.
    """
    moderate = theta.clamp(max=_LARGE)
    direct = moderate * (torch.digamma(x + moderate) - torch.digamma(1 + moderate)) + 1
    large = theta.clamp(min=_LARGE)
    upper = x + large
    series = large * torch.log1p(x / large) + 0.5 * x / upper + large * (_slope(upper) - _slope(large))
    return torch.where(theta < _LARGE, direct, series)


def _stirling(x: Tensor) -> Tensor:
    square = x * x
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / x


def _slope(x: Tensor) -> Tensor:
    square = x * x
    return -(1 / 12 - (1 / 120 - (1 / 252 - 1 / (240 * square)) / square) / square) / square


class RisingFactorials:
    """Both functions at the counts of many cells, where all cells share the `theta` of a gene.

    Most counts are small, and their values for all genes are sums of few terms: they are read from a table, so that
    log-gamma and digamma functions are evaluated for the rare large counts alone.

    Parameters
    ----------
    x
        Counts, at least 1, ``(n_nonzero,)``.
    genes
        Gene of each count, ``(n_nonzero,)`` integers.
    log_theta
        Log of theta of each gene, ``(n_genes,)``.
    """

    def __init__(self, x: Tensor, genes: Tensor, log_theta: Tensor) -> None:
        self.log_theta = log_theta
        self.theta = log_theta.exp()
        # Row k of a table holds the values at the count k + 1.
        self.places = x.int().sub_(1).clamp_(max=_LARGEST_TABLED - 1).mul_(len(log_theta)).add_(genes)
        self.steps = torch.arange(1, _LARGEST_TABLED, dtype=log_theta.dtype, device=log_theta.device).unsqueeze(1)
        self.large = (x > _LARGEST_TABLED).nonzero().squeeze(1)
        if len(self.large):
            self.large_x = x.index_select(0, self.large)
            self.large_log_theta = log_theta.index_select(0, genes.index_select(0, self.large))
            self.large_theta = self.large_log_theta.exp()

    def _look_up(self, first: Tensor, others: Tensor) -> Tensor:
        table = torch.cat((first.unsqueeze(0), others)).cumsum(0)
        return table.view(-1).index_select(0, self.places)

    def log(self) -> Tensor:
        """Return `log_rising_factorial` of each count less its log factorial, ``(n_nonzero,)``."""
        values = self._look_up(self.log_theta, ((self.theta + self.steps) / (self.steps + 1)).log_())
        if len(self.large):
            at_large = log_rising_factorial(self.large_x, self.large_theta, self.large_log_theta)
            values.index_copy_(0, self.large, at_large - torch.lgamma(self.large_x + 1))
        return values

    def slope(self) -> Tensor:
        """Return `scaled_digamma_difference` of each count, ``(n_nonzero,)``."""
        values = self._look_up(torch.ones_like(self.theta), self.theta / (self.theta + self.steps))
        if len(self.large):
            values.index_copy_(0, self.large, scaled_digamma_difference(self.large_x, self.large_theta))
        return values
