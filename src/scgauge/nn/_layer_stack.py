from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn.functional import linear

from scgauge.nn._linear_decoder import LinearHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

ActivationName = Literal["identity", "relu", "elu", "tanh", "sigmoid", "softplus"]

#: Activations of the autoencoders, by name.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda h: h,
    "relu": torch.relu,
    "elu": nn.functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
}


def weight_of(layer: Any) -> Tensor:
    """Weights of a linear layer as they are used, ``(n_out, n_in)``, whatever makes them."""
    return layer.weight() if isinstance(layer, LinearHead) else layer.weight


class LayerStack(nn.Module):
    """Linear layers with activations between them.

    Parameters
    ----------
    sizes
        Width of input, hidden layers and output.
    activation
        Name of the activation after hidden layers.
    last
        Name of the activation of the output.
    first
        Layer to use in place of the first one: a `LinearHead` with a mask, or one with predicted weights.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: ActivationName = "relu",
        last: ActivationName = "identity",
        first: nn.Module | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Linear(n_in, n_out) if index or first is None else first
            for index, (n_in, n_out) in enumerate(pairwise(sizes))
        ]
        self.linears = nn.ModuleList(layers)
        self.activation, self.last = activation, last

    def _activation_after(self, index: int) -> Callable[[Tensor], Tensor]:
        return ACTIVATIONS[self.last if index == len(self.linears) - 1 else self.activation]

    @property
    def output_bias(self) -> Tensor:
        """Intercepts of the output, ``(n_out,)``."""
        return self.linears[-1].get_parameter("bias")

    @property
    def output_activation(self) -> Callable[[Tensor], Tensor]:
        """Activation of the output."""
        return ACTIVATIONS[self.last]

    def forward(self, x: Tensor) -> Tensor:
        """Apply all layers: ``(n_cells, n_in)`` to ``(n_cells, n_out)``."""
        return self.after_first(self.linears[0](x))

    def after_first(self, h: Tensor) -> Tensor:
        """Apply all that follows the first linear map to its output."""
        h = self._activation_after(0)(h)
        for index, layer in enumerate(self.linears):
            if index > 0:
                h = self._activation_after(index)(layer(h))
        return h

    def weights(self) -> list[Tensor]:
        """Weights of the layers as they are used, ``(n_out, n_in)`` each."""
        return [weight_of(layer) for layer in self.linears]


class TiedStack(nn.Module):
    """Decoder whose weights are those of an encoder, transposed and in reverse order; it owns intercepts alone.

    Parameters
    ----------
    encoder
        The encoder, whose parameters stay its own.
    """

    def __init__(self, encoder: LayerStack) -> None:
        super().__init__()
        # In a list, so that the parameters are not registered twice.
        self._encoder = [encoder]
        widths = [weight.shape[1] for weight in reversed(encoder.weights())]
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in widths])

    def forward(self, z: Tensor) -> Tensor:
        """Apply all layers: ``(n_cells, n_latent)`` to ``(n_cells, n_genes)``."""
        activation = ACTIVATIONS[self._encoder[0].activation]
        weights = list(reversed(self._encoder[0].weights()))
        for index, (weight, bias) in enumerate(zip(weights, self.biases, strict=True)):
            z = linear(z, weight.t(), bias)
            if index < len(weights) - 1:
                z = activation(z)
        return z

    def weights(self) -> list[Tensor]:
        """Weights of the layers, ``(n_out, n_in)`` each."""
        return [weight.t() for weight in reversed(self._encoder[0].weights())]

    @property
    def output_bias(self) -> Tensor:
        """Intercepts of the output, ``(n_genes,)``."""
        return self.biases[-1]
