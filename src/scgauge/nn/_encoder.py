from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributions import Normal

from scgauge.nn._layers import FullyConnected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

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

    def forward(self, x: Tensor, codes: Sequence[Tensor] = ()) -> Normal:
        """Return the Gaussian of each cell; mean and scale ``(n_cells, n_out)``."""
        h = self.layers(x, codes)
        return Normal(self.mean(h), (torch.exp(self.log_variance(h)) + VARIANCE_FLOOR).sqrt())
