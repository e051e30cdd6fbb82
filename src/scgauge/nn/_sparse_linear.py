from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from scipy.sparse import csr_array
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
    """Product of sparse cells with weights: sums of rows of the weights, then of rows of the gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: SparseRows) -> Tensor:
        ctx.x = x
        return _sums_of_rows(weight.t(), x.columns, x.offsets.int(), x.values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x: SparseRows = ctx.x
        cells_of_gene = csr_array((x.values.numpy(), x.columns.numpy(), x.offsets.int().numpy()), shape=x.shape).tocsc()
        parts = (torch.from_numpy(part) for part in (cells_of_gene.indices, cells_of_gene.indptr, cells_of_gene.data))
        return _sums_of_rows(grad.contiguous(), *parts).t(), None


def _sums_of_rows(rows: Tensor, chosen: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Return weighted sums of chosen rows: the sum `i` takes those from `offsets[i]` to before `offsets[i + 1]`."""
    return embedding_bag(
        chosen, rows, offsets, mode="sum", per_sample_weights=weights.to(rows.dtype), include_last_offset=True
    )
