r"""Log-likelihood of sparse counts, with the costly functions at the non-zero entries alone.

With :math:`\mu` the mean, :math:`\theta` the inverse dispersion, :math:`q = \mu / \theta` and :math:`u = \log q`,

.. math::

    \log \operatorname{NB}(x) = -\theta \log(1 + q)
        + x \log \sigma(u) + \log\Gamma(x + \theta) - \log\Gamma(\theta) - \log x!,

where all but the first term vanish for :math:`x = 0`. The gradient is written out, which saves autograd the passes over
cells x genes that its record of every step would take. On a CPU one loop does what is written here in steps, and takes
the gradient while it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from scgauge.nn._fused_log_likelihood import fused_log_likelihood
from scgauge.nn._precision import full_precision
from scgauge.nn._rising_factorial import log_rising_factorial, scaled_digamma_difference

if TYPE_CHECKING:
    from scgauge.nn._sparse_rows import SparseRows


def count_log_likelihood(
    x: SparseRows,
    logits: Tensor,
    log_exposure: Tensor,
    *,
    log_dispersion: Tensor | None = None,
    zi_logits: Tensor | None = None,
    normalise: bool = True,
) -> Tensor:
    r"""Return the log-likelihood of each cell under a Poisson, negative binomial or zero-inflated one.

    Parameters
    ----------
    x
        Counts, ``(n_cells, n_genes)``.
    logits
        Log of the share of each gene, up to a constant of the cell, ``(n_cells, n_genes)``.
    log_exposure
        Log of the library size (or size factor), ``(n_cells, 1)``; minus infinity for an empty cell.
    log_dispersion
        Log of the inverse dispersion, ``(n_genes,)`` or ``(n_cells, n_genes)``; ``None`` for Poisson.
    zi_logits
        Logits of structural zeros, ``(n_cells, n_genes)``; ``None`` without zero inflation.
    normalise
        Whether shares are the softmax of `logits`, else their exponential.

    Returns
    -------
    Log-likelihood summed over genes, ``(n_cells,)``, in nats.
    """
    # Sums over genes need float32 also where the layers before do not.
    logits, log_exposure = full_precision(logits), full_precision(log_exposure)
    log_dispersion = None if log_dispersion is None else full_precision(log_dispersion)
    zi_logits = None if zi_logits is None else full_precision(zi_logits)
    fused = _is_fused(logits, log_dispersion, log_exposure, zi_logits)
    function: Any = fused_log_likelihood if fused else _LogLikelihood.apply
    with torch.autocast(logits.device.type, enabled=False):
        return function(logits, log_exposure, log_dispersion, zi_logits, x, normalise)


def _is_fused(logits: Tensor, log_dispersion: Tensor | None, *others: Tensor | None) -> bool:
    """Whether there is a loop in one piece: on a CPU in float32, for a dispersion that all cells share."""
    if log_dispersion is None or log_dispersion.dim() != 1 or logits.dim() != 2:
        return False
    parts = (part for part in (logits, log_dispersion, *others) if part is not None)
    return all(part.device.type == "cpu" and part.dtype == torch.float32 for part in parts)


class _NonZero:
    """What the non-zero entries need: their log means, and of the dispersion the ratio of mean to it.

    Parameters
    ----------
    x
        Counts.
    logits
        Logits of all genes.
    shift
        What turns the logits of a cell into logs of means, ``(n_cells, 1)``.
    log_dispersion
        Log of the inverse dispersion.
    """

    def __init__(self, x: SparseRows, logits: Tensor, shift: Tensor, log_dispersion: Tensor | None) -> None:
        self.places = x.places
        self.counts = x.values.to(logits.dtype)
        self.log_mean = _take(logits, self.places) + shift.squeeze(1).index_select(0, x.rows)
        if log_dispersion is None:
            return
        shared = log_dispersion.dim() == 1
        self.log_theta = log_dispersion.index_select(0, x.columns) if shared else _take(log_dispersion, self.places)
        self.log_ratio = self.log_mean - self.log_theta

    def log_probability(self) -> Tensor:
        """Return what a count adds to the log-probability of a zero."""
        rising = log_rising_factorial(self.counts, self.log_theta.exp(), self.log_theta)
        rising -= torch.lgamma(self.counts + 1)
        return rising.addcmul_(self.counts, logsigmoid(self.log_ratio))

    def slopes(self) -> tuple[Tensor, Tensor]:
        """Return its derivatives by the log mean and by the log dispersion."""
        left = self.counts * torch.sigmoid(-self.log_ratio)
        return left, scaled_digamma_difference(self.counts, self.log_theta.exp()) - left


class _LogLikelihood(torch.autograd.Function):
    """Log-likelihood of each cell, with its gradient written out."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        log_exposure: Tensor,
        log_dispersion: Tensor | None,
        zi_logits: Tensor | None,
        x: SparseRows,
        normalise: bool,  # noqa: FBT001 - torch passes arguments by position
    ) -> Tensor:
        shares, log_norm = _shares(logits, normalise=normalise)
        exposure = log_exposure.exp()
        nonzero = _NonZero(x, logits, log_exposure - log_norm, log_dispersion)
        ctx.x, ctx.normalise, ctx.nonzero = x, normalise, nonzero
        if log_dispersion is None:
            ctx.save_for_backward(shares, exposure, None, None, None, None, None)
            total = exposure.squeeze(1) if normalise else exposure.squeeze(1) * shares.sum(1)
            return x.sum_rows(nonzero.counts * nonzero.log_mean - torch.lgamma(nonzero.counts + 1)) - total
        theta = log_dispersion.exp()
        largest = torch.finfo(shares.dtype).max
        ratio = (shares * exposure).mul_((-log_dispersion).exp().clamp(max=largest)).clamp_(max=largest)
        log1p_ratio = torch.log1p(ratio)
        at_nonzero = nonzero.log_probability()
        if zi_logits is None:
            ctx.save_for_backward(shares, exposure, theta, ratio, log1p_ratio, None, None)
            return x.sum_rows(at_nonzero) - _weighted_sum(log1p_ratio, theta)
        # Log odds of a zero that was drawn against one that is structural.
        odds = (log1p_ratio * -theta).sub_(zi_logits)
        ctx.save_for_backward(shares, exposure, theta, ratio, log1p_ratio, odds, zi_logits)
        at_nonzero += logsigmoid(_take(odds, nonzero.places))
        return _softplus(odds).sub_(_softplus(-zi_logits)).sum(1) + x.sum_rows(at_nonzero)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad.device.type, enabled=False):
            return _gradients(ctx, grad)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients by logits, log exposure, log dispersion and logits of structural zeros."""
    shares, exposure, theta, ratio, log1p_ratio, odds, zi_logits = ctx.saved_tensors
    nonzero: _NonZero = ctx.nonzero
    column = grad.unsqueeze(1)
    if theta is None:
        by_log_mean = shares * -exposure
        _add_at(by_log_mean, nonzero.places, nonzero.counts)
        return *_chain(by_log_mean, shares, column, normalise=ctx.normalise), None, None, None, None
    # The logistic function of log(mean / theta), without another exponential.
    logistic = ratio + 1
    torch.div(ratio, logistic, out=logistic)
    by_zi_logits = None
    if odds is not None:
        drawn = torch.sigmoid(odds)
        drawn.view(-1).index_fill_(0, nonzero.places.long(), 1.0)
        logistic *= drawn
        log1p_ratio = log1p_ratio * drawn
        by_zi_logits = torch.sigmoid(-zi_logits).sub_(drawn).mul_(column)
    at_nonzero, at_nonzero_theta = nonzero.slopes()
    at_nonzero_theta *= grad.index_select(0, ctx.x.rows)
    by_dispersion = _by_dispersion(logistic, log1p_ratio, theta, grad, at_nonzero_theta, ctx.x)
    by_log_mean = logistic.mul_(-theta)
    _add_at(by_log_mean, nonzero.places, at_nonzero)
    by_logits, by_exposure = _chain(by_log_mean, shares, column, normalise=ctx.normalise)
    return by_logits, by_exposure, by_dispersion, by_zi_logits, None, None


def _shares(logits: Tensor, *, normalise: bool) -> tuple[Tensor, Tensor | float]:
    """Return the shares and the log of what they were divided by, ``(n_cells, 1)``."""
    if not normalise:
        return logits.exp(), 0.0
    shares = torch.softmax(logits, dim=1)
    # Read off at the largest entry, which costs less than a second pass of exponentials.
    return shares, logits.amax(1, keepdim=True) - shares.amax(1, keepdim=True).log()


def _softplus(x: Tensor) -> Tensor:
    """Log of 1 + exp(x) for a sum over genes: exact to the rounding of 1, in half the time of torch's."""
    return x.abs().neg_().exp_().add_(1).log_().add_(x.clamp(min=0))


def _take(dense: Tensor, places: Tensor) -> Tensor:
    return dense.reshape(-1).index_select(0, places)


def _add_at(dense: Tensor, places: Tensor, values: Tensor) -> None:
    dense.view(-1).index_add_(0, places, values)


def _weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """Sum over genes, with weights that all cells share or that each has its own."""
    return values @ weights if weights.dim() == 1 else (values * weights).sum(1)


def _chain(by_log_mean: Tensor, shares: Tensor, column: Tensor, *, normalise: bool) -> tuple[Tensor, Tensor]:
    """Turn the gradient by the logs of the means into those by logits and log exposure."""
    total = by_log_mean.sum(1, keepdim=True)
    if normalise:
        by_log_mean.addcmul_(shares, -total)
    return by_log_mean.mul_(column), total * column


def _by_dispersion(
    logistic: Tensor, log1p_ratio: Tensor, theta: Tensor, grad: Tensor, at_nonzero: Tensor, x: SparseRows
) -> Tensor:
    """Gradient by the log dispersion, in its shape, from the dense part and that of the non-zero entries."""
    if theta.dim() == 1:
        dense = torch.mv(logistic.t(), grad).addmv_(log1p_ratio.t(), grad, alpha=-1)
        return dense.mul_(theta).index_add_(0, x.columns, at_nonzero)
    result = (logistic - log1p_ratio).mul_(theta).mul_(grad.unsqueeze(1))
    _add_at(result, x.places, at_nonzero)
    return result
