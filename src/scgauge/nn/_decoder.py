from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import softplus

from scgauge.nn._layers import FullyConnected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Below, softplus and exponential are the same number in float32.
_NEGLIGIBLE = -20.0


class DecoderOutput(NamedTuple):
    """Heads of the decoder; ``None`` where the likelihood has no such parameter.

    ``scale`` is the head that scvi-tools calls ``px_scale``, here before it is normalised: the log of each gene's share
    for counts, the logit for binary data, the mean for log-normalised data.
    """

    scale: Tensor
    log_dispersion: Tensor | None
    zi_logits: Tensor | None


class LogSoftplus(nn.Module):
    """Logarithm of the softplus, for shares that need not sum to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each entry; for very negative ones the softplus is the exponential."""
        return torch.where(x < _NEGLIGIBLE, x, softplus(x.clamp(min=_NEGLIGIBLE)).log())


class CountDecoder(nn.Module):
    """Network from a latent point to the parameters of each gene; only the heads that are used exist.

    Parameters
    ----------
    n_in
        Latent dimensions and continuous covariates.
    n_genes
        Number of genes.
    n_hidden
        Width of the hidden layers.
    activation
        Activation of the scale head: the identity, or `LogSoftplus` with given size factors.
    with_dispersion
        Whether each cell has its own dispersion.
    with_zero_inflation
        Whether there are logits of structural zeros.
    **layers
        Passed to `FullyConnected`.
    """

    def __init__(
        self,
        n_in: int,
        n_genes: int,
        *,
        n_hidden: int = 128,
        activation: nn.Module,
        with_dispersion: bool = False,
        with_zero_inflation: bool = False,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.layers = FullyConnected(n_in, n_hidden, **layers)
        self.scale = nn.Linear(n_hidden, n_genes)
        self.activation = activation
        self.log_dispersion = nn.Linear(n_hidden, n_genes) if with_dispersion else None
        self.zi_logits = nn.Linear(n_hidden, n_genes) if with_zero_inflation else None

    def forward(self, z: Tensor, codes: Sequence[Tensor] = ()) -> DecoderOutput:
        """Decode latent points ``(..., n_cells, n_in)`` to parameters ``(..., n_cells, n_genes)``."""
        h = self.layers(z, codes)
        return DecoderOutput(
            scale=self.activation(self.scale(h)),
            log_dispersion=None if self.log_dispersion is None else self.log_dispersion(h),
            zi_logits=None if self.zi_logits is None else self.zi_logits(h),
        )
