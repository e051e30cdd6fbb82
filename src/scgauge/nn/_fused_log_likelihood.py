"""Log-likelihood of sparse counts on a CPU, and its derivatives in one loop over cells x genes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from scgauge.nn._fused_rows import LARGEST, log_likelihood_rows, rising_factorials

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


def fused_log_likelihood(
    logits: Tensor,
    log_exposure: Tensor,
    log_dispersion: Tensor,
    zi_logits: Tensor | None,
    x: SparseRows,
    normalise: bool,  # noqa: FBT001 - torch passes arguments by position
) -> Tensor:
    """Return the log-likelihood of each cell, ``(n_cells,)``, under a dispersion that all cells share.

    Parameters
    ----------
    logits, log_exposure, log_dispersion, zi_logits, x, normalise
        See `scgauge.nn._count_log_likelihood.count_log_likelihood`; tensors in float32 on the CPU.
    """
    parameters = (logits, log_exposure, log_dispersion, zi_logits)
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in parameters):
        return _WithSlopes.apply(*parameters, x, normalise)
    return _evaluate(*parameters, x, normalise)


class _WithSlopes(torch.autograd.Function):
    """Log-likelihood of each cell; the derivatives of a cell's number are taken with it, and weighted afterwards."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        logits, log_exposure, _, zi_logits, *_ = arguments  # of `_evaluate`
        ctx.inflated = zi_logits is not None
        shapes = (logits.shape, log_exposure.shape, logits.shape if ctx.inflated else (0, 0), logits.shape)
        slopes = tuple(logits.new_empty(shape) for shape in shapes)
        result = _evaluate(*arguments, slopes=slopes)
        ctx.save_for_backward(*slopes)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        by_logits, by_exposure, by_zi, by_dispersion = ctx.saved_tensors
        weights = grad.unsqueeze(1)
        by_zi_logits = by_zi * weights if ctx.inflated else None
        return by_logits * weights, by_exposure * weights, grad @ by_dispersion, by_zi_logits, None, None


def _evaluate(
    logits: Tensor,
    log_exposure: Tensor,
    log_dispersion: Tensor,
    zi_logits: Tensor | None,
    x: SparseRows,
    normalise: bool,  # noqa: FBT001 - as above
    *,
    slopes: tuple[Tensor, ...] | None = None,
) -> Tensor:
    """Return the log-likelihood of each cell, and write its derivatives into `slopes` where these are given."""
    result, none = logits.new_empty(len(logits)), logits.new_empty(0, 0)
    by_logits, by_exposure, by_zi_logits, by_dispersion = slopes or (none, none, none, none)
    inverse = (-log_dispersion).exp().clamp_(max=float(LARGEST))
    dispersion = _arrays(log_dispersion, log_dispersion.exp(), inverse)
    offsets, columns, counts = _arrays(x.offsets, x.columns, x.values.float())
    rising, rising_slopes = np.empty_like(counts), np.empty_like(counts)
    rising_factorials(columns, counts, *dispersion[:2], rising, rising_slopes)
    cells = (*_arrays(logits, log_exposure.reshape(-1), none if zi_logits is None else zi_logits), normalise)
    entries = (offsets, columns, counts, rising, rising_slopes)
    outputs = (*_arrays(result), _arrays(by_logits, by_exposure.reshape(-1), by_zi_logits, by_dispersion))
    calls = [(block, cells, dispersion, entries, *outputs) for block in _blocks(*logits.shape)]
    _in_threads(log_likelihood_rows, calls)
    return result


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
