from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear

from scgauge.nn._decoder import DecoderOutput
from scgauge.nn._layers import CellBatchNorm, CovariateLinear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class LinearHead(nn.Module):
    """Linear map from latent points and covariates to one number for each gene.

    Parameters
    ----------
    n_in
        Latent dimensions, followed by continuous covariates.
    n_genes
        Number of genes.
    n_categories
        Number of categories of each covariate. The effect of a single category is no effect: its table stays zero
        until a query adds a category.
    intercept
        Whether each gene has an intercept. That of batch norm takes its place.
    use_batch_norm
        Whether the output is normalised over the cells of a minibatch.
    non_negative
        Number of leading inputs whose weights must not be negative.
    mask
        Weights of the leading inputs that may differ from zero, ``(n_genes, n_masked)`` booleans.
    """

    mask: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_genes: int,
        *,
        n_categories: Sequence[int] = (),
        intercept: bool = True,
        use_batch_norm: bool = False,
        non_negative: int = 0,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.regression = CovariateLinear(n_in, n_genes, n_categories, bias=intercept and not use_batch_norm)
        self.norm = CellBatchNorm(n_genes, momentum=0.01, eps=0.001) if use_batch_norm else None
        self.non_negative = non_negative
        if mask is not None:
            free = torch.ones(n_genes, n_in - mask.shape[1])
            mask = torch.cat((mask.float(), free), dim=1)
        self.register_buffer("mask", mask)
        with torch.no_grad():
            weight = self.regression.linear.weight
            if non_negative:
                weight[:, :non_negative].abs_()
            if mask is not None:
                weight.mul_(mask)
            for effect, n in zip(self.regression.effects.children(), n_categories, strict=True):
                if n == 1:
                    effect.get_parameter("weight").zero_().requires_grad_(False)  # noqa: FBT003

    def weight(self) -> Tensor:
        """Weights of the inputs as they are used, before batch norm, ``(n_genes, n_in)``."""
        weight = self.regression.linear.weight
        if self.non_negative:
            if self.training:
                # Projected gradient descent: the last step may have left the admissible set.
                with torch.no_grad():
                    weight[:, : self.non_negative].clamp_(min=0)
            else:
                weight = torch.cat((weight[:, : self.non_negative].clamp(min=0), weight[:, self.non_negative :]), 1)
        return weight if self.mask is None else weight * self.mask

    def forward(self, z: Tensor, codes: Sequence[Tensor] = ()) -> Tensor:
        """Map ``(..., n_cells, n_in)`` to ``(..., n_cells, n_genes)``."""
        h = self.regression.add_effects(linear(z, self.weight(), self.regression.linear.bias), codes)
        return h if self.norm is None else self.norm(h)

    def _slope(self) -> Tensor | float:
        """Factor of each gene that batch norm in evaluation multiplies with, ``(n_genes, 1)``."""
        if self.norm is None or self.norm.running_var is None:
            return 1.0
        return (self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt())[:, None]

    @torch.no_grad()
    def loadings(self) -> Tensor:
        """Weights of the inputs with batch norm folded in, ``(n_genes, n_in)``."""
        non_negative, weight = self.non_negative, self.regression.linear.weight.clone()
        weight[:, :non_negative].clamp_(min=0)
        return (weight if self.mask is None else weight * self.mask) * self._slope()

    @torch.no_grad()
    def effects(self, covariate: int) -> Tensor:
        """Effects of the categories of a covariate with batch norm folded in, ``(n_genes, n_categories)``."""
        table = list(self.regression.effects.children())[covariate]
        return table.get_parameter("weight").T * self._slope()

    @torch.no_grad()
    def set_intercept(self, values: Tensor) -> None:
        """Start the intercept of each gene at a value, ``(n_genes,)``; does nothing if there is none."""
        bias = self.regression.linear.bias if self.norm is None else self.norm.bias
        if bias is not None:
            bias.copy_(values)


class LinearDecoder(nn.Module):
    """Linear decoder: each parameter of the likelihood is a linear function of latent point and covariates.

    Parameters
    ----------
    n_in
        Latent dimensions, followed by continuous covariates.
    n_genes
        Number of genes.
    activation
        Activation of the scale head: the identity, or `LogSoftplus` with given size factors.
    with_dispersion
        Whether each cell has its own dispersion.
    with_zero_inflation
        Whether there are logits of structural zeros.
    non_negative, mask
        Constraints on the weights of the scale head, see `LinearHead`.
    **head
        Passed to each `LinearHead`.
    """

    def __init__(
        self,
        n_in: int,
        n_genes: int,
        *,
        activation: nn.Module,
        with_dispersion: bool = False,
        with_zero_inflation: bool = False,
        non_negative: int = 0,
        mask: Tensor | None = None,
        **head: Any,
    ) -> None:
        super().__init__()
        self.scale = LinearHead(n_in, n_genes, non_negative=non_negative, mask=mask, **head)
        self.activation = activation
        self.log_dispersion = LinearHead(n_in, n_genes, **head) if with_dispersion else None
        self.zi_logits = LinearHead(n_in, n_genes, **head) if with_zero_inflation else None

    def forward(self, z: Tensor, codes: Sequence[Tensor] = ()) -> DecoderOutput:
        """Decode latent points ``(..., n_cells, n_in)`` to parameters ``(..., n_cells, n_genes)``."""
        return DecoderOutput(
            scale=self.activation(self.scale(z, codes)),
            log_dispersion=None if self.log_dispersion is None else self.log_dispersion(z, codes),
            zi_logits=None if self.zi_logits is None else self.zi_logits(z, codes),
        )
