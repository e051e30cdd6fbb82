from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from scgauge.nn._layers import FullyConnected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class DecoderOutput(NamedTuple):
    """Heads of the decoder; ``None`` where the likelihood has no such parameter."""

    scale: Tensor
    log_dispersion: Tensor | None
    zi_logits: Tensor | None


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
        Activation of the scale head: softmax over genes, softplus (with given size factors) or the identity.
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
