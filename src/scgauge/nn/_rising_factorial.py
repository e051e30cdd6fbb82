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
