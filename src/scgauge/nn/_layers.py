from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scgauge.nn._sparse_linear import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scgauge.nn._sparse_rows import SparseRows


class CovariateLinear(nn.Module):
    """Linear layer with one additive effect for each category of each covariate.

    Equal to a linear layer on the input joined with one-hot codes, without ever building the codes. Each covariate
    owns its effects ``(n_categories, n_out)``, so that a query with new categories extends one table at its end and
    no column of another covariate moves.

    Parameters
    ----------
    n_in
        Number of input features.
    n_out
        Number of output features.
    n_categories
        Number of categories of each covariate.
    bias
        Whether each output has an intercept.
    linear
        Layer to use instead of one of torch, with `weight` and `bias`; it is taken as it comes.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        n_categories: Sequence[int] = (),
        *,
        bias: bool = True,
        linear: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.linear: Any = nn.Linear(n_in, n_out, bias=bias) if linear is None else linear
        if linear is None and n_in > n_out:
            # The weights of an input side by side, as products with sparse cells read them.
            self.linear.weight = nn.Parameter(torch.empty(n_in, n_out).t())
        self.n_covariates = len(n_categories)
        self.effects = nn.ModuleList(nn.Embedding(n, n_out) for n in n_categories)
        # The spread that torch gives a linear layer on the joined input; a covariate with one category joins nothing.
        bound = (n_in + sum(n for n in n_categories if n > 1)) ** -0.5
        for parameter in self.parameters() if linear is None else self.effects.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor | SparseRows, codes: Sequence[Tensor]) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x
            Input, ``(..., n_cells, n_in)``; several posterior samples only if it is dense.
        codes
            For each covariate the category of each cell, ``(n_cells,)`` integers.

        Returns
        -------
        Output, ``(..., n_cells, n_out)``.
        """
        return self.add_effects(linear(x, self.linear.weight, self.linear.bias), codes)

    def add_effects(self, h: Tensor, codes: Sequence[Tensor]) -> Tensor:
        """Add the effects of the covariates to ``(..., n_cells, n_out)``."""
        for effect, code in zip(self.effects, codes, strict=True):
            table = effect.get_parameter("weight")
            # One category needs no look-up.
            h = h + (effect(code) if len(table) > 1 else table)
        return h


class FullyConnected(nn.Module):
    """Stack of `CovariateLinear`, batch norm, layer norm, ReLU and dropout, as in scvi-tools' ``FCLayers``.

    Parameters
    ----------
    n_in
        Number of input features.
    n_hidden
        Width of every layer.
    n_layers
        Number of layers.
    n_categories
        Number of categories of each covariate.
    dropout_rate
        Dropout after each layer.
    use_batch_norm
        Whether each layer has batch norm.
    use_layer_norm
        Whether each layer has layer norm (without learned scale, after batch norm).
    inject_covariates
        Whether every layer sees the covariates, not the first alone.
    first_linear
        Linear map of the first layer, see `CovariateLinear`.
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        *,
        n_layers: int = 1,
        n_categories: Sequence[int] = (),
        dropout_rate: float = 0.0,
        use_batch_norm: bool = True,
        use_layer_norm: bool = False,
        inject_covariates: bool = True,
        first_linear: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList()
        self.rests = nn.ModuleList()
        for index in range(n_layers):
            sees = tuple(n_categories) if index == 0 or inject_covariates else ()
            own = first_linear if index == 0 else None
            self.linears.append(CovariateLinear(n_in if index == 0 else n_hidden, n_hidden, sees, linear=own))
            rest: list[nn.Module] = []
            if use_batch_norm:
                rest.append(CellBatchNorm(n_hidden, momentum=0.01, eps=0.001))
            if use_layer_norm:
                rest.append(nn.LayerNorm(n_hidden, elementwise_affine=False))
            rest.append(nn.ReLU())
            if dropout_rate > 0:
                rest.append(nn.Dropout(dropout_rate))
            self.rests.append(nn.Sequential(*rest))

    def forward(self, x: Any, codes: Sequence[Tensor] = ()) -> Tensor:
        """Apply all layers: ``(..., n_cells, n_in)`` to ``(..., n_cells, n_hidden)``."""
        first = self.linears[0]
        return self.after_first(first(x, codes if first.n_covariates else ()), codes)

    def after_first(self, h: Tensor, codes: Sequence[Tensor] = ()) -> Tensor:
        """Apply all that follows the first linear map to its output, ``(..., n_cells, n_hidden)``."""
        for index, (layer, rest) in enumerate(zip(self.linears, self.rests, strict=True)):
            if index > 0:
                h = layer(h, codes if layer.n_covariates else ())
            h = rest(h)
        return h


class CellBatchNorm(nn.BatchNorm1d):
    """Batch norm over cells that also takes several posterior samples, ``(n_samples, n_cells, n_features)``."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return super().forward(x)
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
