from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributions import Normal

from scgauge.nn._layers import FullyConnected
from scgauge.nn._precision import full_precision, limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scgauge.nn._sparse_rows import SparseRows

#: Smallest variance of the approximate posterior, as in scvi-tools.
VARIANCE_FLOOR = 1e-4


class Encoder(nn.Module):
    """Network from a cell to a Gaussian with diagonal covariance.

    Parameters
    ----------
    n_in
        Number of input features.
    n_out
        Dimension of the Gaussian.
    n_hidden
        Width of the hidden layers.
    **layers
        Passed to `FullyConnected`.
    """

    def __init__(self, n_in: int, n_out: int, *, n_hidden: int = 128, **layers: Any) -> None:
        super().__init__()
        self.layers = FullyConnected(n_in, n_hidden, **layers)
        self.mean = nn.Linear(n_hidden, n_out)
        self.log_variance = nn.Linear(n_hidden, n_out)

    def forward(self, x: Tensor | SparseRows, codes: Sequence[Tensor] = ()) -> Normal:
        """Return the Gaussian of each cell; mean and scale ``(n_cells, n_out)``."""
        mean, variance = self.moments(self.layers(x, codes))
        # What is wrong with a Gaussian shows in the loss; checking each costs as much as the layer.
        return Normal(mean, variance.sqrt(), validate_args=False)

    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the Gaussian from the last hidden layer, ``(n_cells, n_out)`` each."""
        log_variance = limited(full_precision(self.log_variance(hidden)))
        return full_precision(self.mean(hidden)), torch.exp(log_variance) + VARIANCE_FLOOR
