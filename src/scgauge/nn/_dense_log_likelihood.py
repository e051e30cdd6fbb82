"""Log-likelihood of a dense minibatch of counts, in steps whose shapes do not depend on the counts.

A graph that is compiled once, or recorded once on a GPU, cannot hold as many non-zero entries as each minibatch happens
to have. Here every entry takes the same steps, which a compiler puts into one kernel; the formulas are those of
``_count_log_likelihood``, and so are their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid, softplus

from scgauge.nn._precision import full_precision
from scgauge.nn._rising_factorial import log_rising_factorial

if TYPE_CHECKING:
    from torch import Tensor


def dense_log_likelihood(
    x: Tensor,
    logits: Tensor,
    log_exposure: Tensor,
    *,
    log_dispersion: Tensor | None = None,
    zi_logits: Tensor | None = None,
    normalise: bool = True,
) -> Tensor:
    """Return the log-likelihood of each cell under a Poisson, negative binomial or zero-inflated one.

    Parameters
    ----------
    x
        Counts, ``(n_cells, n_genes)``.
    logits, log_exposure, log_dispersion, zi_logits, normalise
        As for `count_log_likelihood`.

    Returns
    -------
    Log-likelihood summed over genes, ``(n_cells,)``, in nats.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = full_precision(logits)
        log_mean = (logits.log_softmax(-1) if normalise else logits) + full_precision(log_exposure)
        is_zero = x == 0
        # Entries that are zero take the steps of a one, whose result is not used.
        counts = x.clamp(min=1)
        if log_dispersion is None:
            at_nonzero = counts * log_mean - torch.lgamma(counts + 1)
            return (at_nonzero.masked_fill(is_zero, 0.0) - log_mean.exp()).sum(-1)
        log_dispersion = full_precision(log_dispersion).expand_as(x)
        theta = log_dispersion.exp()
        log_ratio = log_mean - log_dispersion
        rising = log_rising_factorial(counts, theta, log_dispersion)
        at_nonzero = (rising - torch.lgamma(counts + 1) + counts * logsigmoid(log_ratio)).masked_fill(is_zero, 0.0)
        at_zero = -theta * softplus(log_ratio)
        if zi_logits is None:
            return (at_zero + at_nonzero).sum(-1)
        zi_logits = full_precision(zi_logits)
        odds = at_zero - zi_logits
        return (torch.where(is_zero, softplus(odds), odds) - softplus(-zi_logits) + at_nonzero).sum(-1)
