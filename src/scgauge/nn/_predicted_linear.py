from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class PredictedLinear(nn.Module):
    r"""Linear layer whose weights are predicted from an embedding of its inputs: the fat layer of a diet network.

    For genes with embeddings :math:`E` ``(n_genes, n_dims)`` the weights are
    :math:`W^\top = f_\phi(E)`, row by row, with a small network :math:`f_\phi` :cite:p:`Romero17`. Its number of
    parameters does not depend on the number of genes. Inputs behind the genes have weights of their own.

    Parameters
    ----------
    embedding
        Embedding of each gene, ``(n_genes, n_dims)``; standardised here and kept fixed.
    n_out
        Number of outputs.
    n_further
        Number of inputs behind the genes.
    n_hidden
        Hidden units of the predicting network.
    """

    embedding: Tensor

    def __init__(self, embedding: Tensor, n_out: int, *, n_further: int = 0, n_hidden: int = 64) -> None:
        super().__init__()
        values = embedding.float()
        spread = values.std(0, unbiased=False)
        # A dimension that is the same for all genes says nothing of any.
        values = (values - values.mean(0)) / torch.where(spread > 0, spread, torch.ones_like(spread))
        self.register_buffer("embedding", values)
        n_genes, n_dims = values.shape
        self.predict = nn.Sequential(nn.Linear(n_dims, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_out, bias=False))
        self.further = nn.Parameter(torch.empty(n_out, n_further)) if n_further else None
        self.bias = nn.Parameter(torch.empty(n_out))
        # The spread that torch gives the weights of a linear layer with so many inputs.
        bound = (n_genes + n_further) ** -0.5
        for parameter in (self.further, self.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            last = self.predict[-1].get_parameter("weight")
            last.mul_(bound / 3**0.5 / self.predict(values).std().clamp(min=1e-12))

    @property
    def weight(self) -> Tensor:
        """Weights as they are used, ``(n_out, n_genes + n_further)``."""
        weight = self.predict(self.embedding).t()
        return weight if self.further is None else torch.cat((weight, self.further), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: ``(n_cells, n_in)`` to ``(n_cells, n_out)``."""
        return nn.functional.linear(x, self.weight, self.bias)
