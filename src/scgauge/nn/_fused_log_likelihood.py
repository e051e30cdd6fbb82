"""Log-likelihood of sparse counts on a CPU, one loop over cells x genes forward and one backward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from scgauge.nn._fused_rows import LARGEST, backward_rows, forward_rows, rising_factorials

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scgauge.nn._sparse_rows import SparseRows

#: Fewest entries of a block that a thread of its own is worth.
_ENTRIES_PER_THREAD = 50_000


@cache
def _pool(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, thread_name_prefix="scgauge-likelihood")


def _blocks(n_cells: int, n_genes: int) -> list[tuple[int, int]]:
    """Return first and last row of the block of each thread, of which torch says how many there may be."""
    n = max(1, min(torch.get_num_threads(), n_cells, n_cells * n_genes // _ENTRIES_PER_THREAD))
    return [(n_cells * i // n, n_cells * (i + 1) // n) for i in range(n)]


def _in_threads(function: Callable[..., None], calls: list[tuple]) -> None:
    """Call a function once for each tuple of arguments, the first in this thread."""
    others = [_pool(len(calls) - 1).submit(function, *arguments) for arguments in calls[1:]]
    function(*calls[0])
    for other in others:
        other.result()


class FusedLogLikelihood(torch.autograd.Function):
    """Log-likelihood of each cell under a negative binomial whose dispersion all cells share, maybe with more zeros."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        log_exposure: Tensor,
        log_dispersion: Tensor,
        zi_logits: Tensor | None,
        x: SparseRows,
        normalise: bool,  # noqa: FBT001 - torch passes arguments by position
    ) -> Tensor:
        logits = logits.contiguous()
        theta = log_dispersion.exp()
        inverse = (-log_dispersion).exp().clamp_(max=float(LARGEST))
        zi = logits.new_empty(0, 0) if zi_logits is None else zi_logits.contiguous()
        shares, result = torch.empty_like(logits), logits.new_empty(len(logits))
        ctx.save_for_backward(shares, log_exposure, log_dispersion, theta, inverse, zi)
        cells = (*_arrays(logits, log_exposure.reshape(-1), zi), normalise)
        dispersion = _arrays(log_dispersion, theta, inverse)
        offsets, *entries = _arrays(x.offsets, x.columns, x.values.float())
        logs, slopes = np.empty_like(entries[1]), np.empty_like(entries[1])
        rising_factorials(*entries, *dispersion[:2], logs, slopes)
        ctx.normalise, ctx.entries = normalise, (offsets, *entries, slopes)
        outputs = _arrays(shares, result)
        blocks = _blocks(*logits.shape)
        _in_threads(forward_rows, [(block, cells, dispersion, (offsets, *entries, logs), outputs) for block in blocks])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        shares, log_exposure, log_dispersion, theta, inverse, zi = ctx.saved_tensors
        by_logits, by_zi = torch.empty_like(shares), torch.empty_like(zi)
        by_exposure = torch.empty_like(log_exposure)
        blocks = _blocks(*shares.shape)
        by_dispersion = shares.new_zeros(len(blocks), shares.shape[1])
        cells = (*_arrays(shares, log_exposure.exp().reshape(-1), zi), ctx.normalise)
        dispersion = _arrays(log_dispersion, theta, inverse)
        (by_cell,) = _arrays(grad.contiguous())
        outputs = _arrays(by_logits, by_exposure.reshape(-1), by_zi)
        calls = [
            (block, cells, dispersion, ctx.entries, by_cell, (*outputs, of_block.numpy()))
            for block, of_block in zip(blocks, by_dispersion, strict=True)
        ]
        _in_threads(backward_rows, calls)
        by_zi_logits = by_zi if len(zi) else None
        return by_logits, by_exposure, by_dispersion.sum(0), by_zi_logits, None, None


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)
