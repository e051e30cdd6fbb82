from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi.module.base import auto_move_data

from scgauge._core.compat import MODULE_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class MarginalLikelihoodMixin:
    """Marginal likelihood of a module whose approximate posterior can be drawn from and evaluated."""

    forward: Callable[..., Any]
    use_observed_lib_size: bool

    @torch.inference_mode()
    @auto_move_data
    def marginal_ll(
        self,
        tensors: dict[str, Tensor],
        n_mc_samples: int,
        return_mean: bool = False,
        n_mc_samples_per_pass: int = 1,
    ) -> Tensor | float:
        r"""Estimate :math:`\log p(x)` of each cell by importance sampling from the approximate posterior.

        Parameters
        ----------
        tensors
            A minibatch.
        n_mc_samples
            Number of draws; the estimate grows towards :math:`\log p(x)` with it.
        return_mean
            Whether to return the mean over cells.
        n_mc_samples_per_pass
            Draws made at once.
        """
        log_weights = []
        left = n_mc_samples
        while left > 0:
            n_samples = min(left, max(1, n_mc_samples_per_pass))
            left -= n_samples
            inference, generative, losses = self.forward(
                tensors,
                inference_kwargs={"n_samples": n_samples},
                get_inference_input_kwargs={"full_forward_pass": True},
            )
            z, qz = inference[MODULE_KEYS.Z_KEY], inference[MODULE_KEYS.QZ_KEY]
            pz = generative[MODULE_KEYS.PZ_KEY]
            log_weight = (pz.log_prob(z) - qz.log_prob(z)).sum(-1) - losses.dict_sum(losses.reconstruction_loss)
            if not self.use_observed_lib_size:
                library = inference[MODULE_KEYS.LIBRARY_KEY]
                pl, ql = generative[MODULE_KEYS.PL_KEY], inference[MODULE_KEYS.QL_KEY]
                log_weight = log_weight + (pl.log_prob(library) - ql.log_prob(library)).sum(-1)
            log_weights.append(log_weight.reshape(n_samples, -1))
        estimate = torch.cat(log_weights).logsumexp(0) - np.log(n_mc_samples)
        return estimate.mean().item() if return_mean else estimate.cpu()
