from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi.module.base import LossOutput

from scgauge.module._countvae import CountVAE, NormWhere
from scgauge.nn import LinearDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class LDVAE(CountVAE):
    r"""Variational autoencoder with a linear decoder; the probability model behind :class:`~scgauge.model.LinearVI`.

    As :class:`CountVAE`, with

    .. math::

        \rho_n = \operatorname{softmax}(b + W z_n + \delta_{s_n} + V c_n)

    for loadings :math:`W` ``(n_genes, n_latent)``, intercepts :math:`b`, effects :math:`\delta` of the categories of
    each covariate and slopes :math:`V` of continuous ones :cite:p:`Svensson20`. Batch norm on this sum, if used, is
    linear in evaluation and folded into what :meth:`get_loadings` returns. Logits of structural zeros and dispersions
    of single cells are linear functions of the same kind.

    Parameters
    ----------
    n_input
        Number of genes.
    intercept
        Whether each gene has an intercept.
    non_negative
        Whether loadings must not be negative; kept by projection after each step.
    mask
        Loadings that may differ from zero, ``(n_input, n_latent)``; all if ``None``.
    l1
        Weight of the sum of absolute loadings in the mean loss of a cell, in nats.
    use_batch_norm
        Where to use batch norm.
    **network
        See :class:`CountVAE`.
    """

    decoder: LinearDecoder

    def __init__(
        self,
        n_input: int,
        *,
        intercept: bool = True,
        non_negative: bool = False,
        mask: np.ndarray | None = None,
        l1: float = 0.0,
        use_batch_norm: NormWhere = "encoder",
        **network: Any,
    ) -> None:
        decoder: dict[str, Any] = {"intercept": intercept, "non_negative": non_negative, "mask": mask}
        super().__init__(n_input, use_batch_norm=use_batch_norm, **decoder, **network)
        self.l1 = l1

    def _make_decoder(self, n_categories: Sequence[int], **arguments: Any) -> LinearDecoder:
        # Hidden layers are asked for as well; a linear decoder has none.
        mask = arguments["mask"]
        return LinearDecoder(
            self._n_decoder_input,
            self.n_input,
            n_categories=n_categories,
            use_batch_norm=arguments["use_batch_norm"],
            intercept=arguments["intercept"],
            non_negative=self.n_latent if arguments["non_negative"] else 0,
            mask=None if mask is None else torch.tensor(np.array(mask, dtype=bool)),
            **self._heads(),
        )

    @property
    def has_free_constant(self) -> bool:
        """Whether a constant may be added to all loadings of a factor without any change: with a softmax alone."""
        head = self.decoder.scale
        is_softmax = self.spec.counts and not self.use_size_factor
        return is_softmax and head.mask is None and not head.non_negative

    def get_loadings(self) -> np.ndarray:
        """Return loadings as they are, batch norm folded in, ``(n_genes, n_latent)``."""
        return self.decoder.scale.loadings()[:, : self.n_latent].cpu().numpy()

    def start_from_mean(self, mean: Tensor) -> None:
        """Start the intercepts from the mean of each gene, ``(n_genes,)``: positive, below 1 for binary data."""
        if self.gene_likelihood == "bernoulli":
            mean = mean.logit()
        elif self.spec.counts:
            # The inverse of softplus, in a form that large means do not overflow.
            mean = mean + (-(-mean).expm1()).log() if self.use_size_factor else mean.log()
        self.decoder.scale.set_intercept(mean)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: Tensor | float = 1.0,
    ) -> LossOutput:
        """Return the negative ELBO and, if asked for, the penalty of the loadings, which is no part of the ELBO."""
        losses = super().loss(tensors, inference_outputs, generative_outputs, kl_weight)
        if not self.l1:
            return losses
        penalty = self.l1 * self.decoder.scale.weight()[:, : self.n_latent].abs().sum()
        return LossOutput(
            loss=losses.loss + penalty,
            reconstruction_loss=losses.reconstruction_loss,
            kl_local=losses.kl_local,
            extra_metrics={"l1_penalty": penalty.detach()},
        )
