from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

if TYPE_CHECKING:
    from scgauge.nn._sparse_rows import SparseRows

#: Share of non-zero entries up to which a sparse product is the faster one on a CPU, by measurement.
_SPARSEST = 0.2


def linear(x: Tensor | SparseRows, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear layer to dense or sparse cells.

    Parameters
    ----------
    x
        Cells, ``(..., n_cells, n_in)``.
    weight
        Weights, ``(n_out, n_in)``; for sparse cells fastest if those of an input lie side by side in memory.
    bias
        Bias, ``(n_out,)``, if there is one.
    """
    if isinstance(x, Tensor):
        return torch.nn.functional.linear(x, weight, bias)
    if x.device.type != "cpu" or len(x.values) > _SPARSEST * len(x) * x.n_columns:
        return torch.nn.functional.linear(x.to_dense(), weight, bias)
    product = _SparseProduct.apply(weight, x)
    return product if bias is None else product + bias


class _SparseProduct(torch.autograd.Function):
    """Product of sparse cells with weights: forward a sum of rows, backward a dense product, which is the faster."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: SparseRows) -> Tensor:
        ctx.x = x
        return embedding_bag(
            x.columns,
            weight.t(),
            x.offsets.to(x.columns.dtype),
            mode="sum",
            per_sample_weights=x.values.to(weight.dtype),
            include_last_offset=True,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (ctx.x.to_dense().to(grad.dtype).t() @ grad).t(), None
