from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseMinifiedModeModuleClass, LossOutput, auto_move_data
from scvi.utils import unsupported_if_adata_minified
from torch import nn
from torch.distributions import Normal

from scgauge._core.compat import MODULE_KEYS
from scgauge.module._marginal_likelihood import MarginalLikelihoodMixin
from scgauge.nn import (
    LIKELIHOODS,
    CountDecoder,
    Encoder,
    GeneLikelihood,
    LogSoftplus,
    PredictedLinear,
    SparseRows,
    likelihood,
)
from scgauge.nn._precision import full_precision, limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.distributions import Distribution

Dispersion = Literal["gene", "gene-batch", "gene-cell"]
NormWhere = Literal["encoder", "decoder", "both", "none"]

#: Largest Poisson rate that torch samples reliably.
_LARGEST_RATE = 1e8


class CountVAE(MarginalLikelihoodMixin, BaseMinifiedModeModuleClass):
    r"""Variational autoencoder of single-cell counts; the probability model behind :class:`~scgauge.model.CountVI`.

    For cell :math:`n` with batch :math:`s_n` and library size :math:`\ell_n`,

    .. math::

        z_n &\sim \mathcal{N}(0, I), \\
        \rho_n &= \operatorname{softmax} f_w(z_n, s_n), \\
        x_{ng} &\sim \operatorname{NB}(\ell_n \rho_{ng}, \theta_g)

    for ``"nb"``; ``"zinb"`` adds structural zeros with logits :math:`f_h(z_n, s_n)`, ``"poisson"`` drops
    :math:`\theta`. ``"bernoulli"`` reads the network's output as logits, ``"normal"`` as means; both know no library.
    With a latent library, :math:`\log \ell_n \sim \mathcal{N}(\mu_{s_n}, \sigma^2_{s_n})`. The approximate posteriors
    are Gaussians whose parameters are networks of :math:`\log(1 + x_n)` (of :math:`x_n` itself for binary and normal
    data). Every parameter of the module is used by its likelihood. The ELBO equals that of
    :class:`scvi.module.VAE` for equal weights :cite:p:`Lopez18`.

    Parameters are those of :class:`~scgauge.model.CountVI`, and

    Parameters
    ----------
    n_input
        Number of genes.
    n_batch
        Number of batches.
    n_continuous_cov
        Number of continuous covariates.
    n_cats_per_cov
        Number of categories of each categorical covariate.
    n_hidden, n_latent, n_layers, dropout_rate, dispersion, gene_likelihood, use_observed_lib_size
        See :class:`~scgauge.model.CountVI`.
    encode_covariates, deeply_inject_covariates, use_batch_norm, use_layer_norm
        See :class:`~scgauge.model.CountVI`.
    use_size_factor
        Whether the mean is scaled by a given size factor; the scale is then a softplus instead of a softmax.
    library_log_means, library_log_vars
        Prior of the log library size of each batch, ``(1, n_batch)``; only for a latent library. ``None`` leaves
        them to be learnt from the training cells when training starts.
    gene_embedding
        Embedding of each gene, ``(n_input, n_dims)``, from which the weights of the first encoder layer are predicted.
    **decoder
        Further arguments of the decoder of a subclass.
    """

    def __init__(
        self,
        n_input: int,
        *,
        n_batch: int = 1,
        n_continuous_cov: int = 0,
        n_cats_per_cov: Sequence[int] | None = None,
        n_hidden: int = 128,
        n_latent: int = 10,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Dispersion = "gene",
        gene_likelihood: GeneLikelihood = "zinb",
        use_observed_lib_size: bool = True,
        use_size_factor: bool = False,
        encode_covariates: bool = False,
        deeply_inject_covariates: bool = True,
        use_batch_norm: NormWhere = "both",
        use_layer_norm: NormWhere = "none",
        library_log_means: np.ndarray | None = None,
        library_log_vars: np.ndarray | None = None,
        gene_embedding: np.ndarray | None = None,
        **decoder: Any,
    ) -> None:
        super().__init__()
        self.spec = LIKELIHOODS[gene_likelihood]
        self.n_input, self.n_batch, self.n_latent = n_input, n_batch, n_latent
        self.n_continuous_cov = n_continuous_cov
        self.gene_likelihood, self.dispersion = gene_likelihood, dispersion
        self.use_size_factor = use_size_factor
        self.use_observed_lib_size = use_observed_lib_size or use_size_factor or not self.spec.counts
        self.encode_covariates = encode_covariates
        n_categories = (n_batch, *(n_cats_per_cov or ()))

        def layers(part: str) -> dict[str, Any]:
            return {
                "n_hidden": n_hidden,
                "inject_covariates": deeply_inject_covariates,
                "use_batch_norm": use_batch_norm in {part, "both"},
                "use_layer_norm": use_layer_norm in {part, "both"},
            }

        encoder = layers("encoder") | {
            "n_categories": n_categories if encode_covariates else (),
            "dropout_rate": dropout_rate,
        }
        n_encoder = n_input + n_continuous_cov * encode_covariates
        diet: dict[str, Any] = {}
        if gene_embedding is not None:
            embedding = torch.tensor(np.asarray(gene_embedding), dtype=torch.float32)
            diet["first_linear"] = PredictedLinear(embedding, n_hidden, n_further=n_encoder - n_input)
        self.z_encoder = self._make_encoder(n_encoder, n_layers=n_layers, **encoder, **diet)
        self.l_encoder = None if self.use_observed_lib_size else Encoder(n_encoder, 1, n_layers=1, **encoder)
        self.decoder = self._make_decoder(n_categories, n_layers=n_layers, **layers("decoder"), **decoder)
        self.px_r = self._dispersion_parameter()
        if not self.use_observed_lib_size:
            self._register_library_prior(library_log_means, library_log_vars)

    def _make_encoder(self, n_in: int, **arguments: Any) -> nn.Module:
        """Return the encoder of latent points; a subclass has another one."""
        return Encoder(n_in, self.n_latent, **arguments)

    def _make_decoder(self, n_categories: Sequence[int], **arguments: Any) -> nn.Module:
        """Return the decoder; a subclass has another one."""
        heads = self._heads()
        return CountDecoder(self._n_decoder_input, self.n_input, n_categories=n_categories, **heads, **arguments)

    @property
    def _n_decoder_input(self) -> int:
        return self.n_latent + self.n_continuous_cov

    def _heads(self) -> dict[str, Any]:
        """Return what the likelihood needs of a decoder."""
        return {
            "activation": self._scale_activation(),
            "with_dispersion": self.spec.dispersion and self.dispersion == "gene-cell",
            "with_zero_inflation": self.spec.zero_inflation,
        }

    def _scale_activation(self) -> nn.Module:
        if not self.spec.counts:
            return nn.Identity()
        # Shares of the library are the softmax of this output, which the likelihood takes; see `CountLikelihood`.
        return LogSoftplus() if self.use_size_factor else nn.Identity()

    def _dispersion_parameter(self) -> nn.Parameter | None:
        """Log dispersion of each gene, ``(n_input,)``, or of each batch and gene, ``(n_batch, n_input)``."""
        if not self.spec.dispersion or self.dispersion == "gene-cell":
            return None
        shape = (self.n_input,) if self.dispersion == "gene" else (self.n_batch, self.n_input)
        return nn.Parameter(torch.randn(shape))

    def _register_library_prior(self, means: np.ndarray | None, variances: np.ndarray | None) -> None:
        known = means is not None and variances is not None
        shape = (1, self.n_batch)
        # NaN marks a prior that is still to be learnt from the training cells.
        for name, values in (("library_log_means", means), ("library_log_vars", variances)):
            value = torch.as_tensor(np.asarray(values), dtype=torch.float32) if known else torch.full(shape, torch.nan)
            self.register_buffer(name, value.reshape(shape))

    @property
    def needs_library_prior(self) -> bool:
        """Whether the prior of a latent library is still unknown."""
        return not self.use_observed_lib_size and bool(self.library_log_means.isnan().all())

    def set_library_prior(self, means: Tensor, variances: Tensor) -> None:
        """Set the prior of the log library size of each batch, ``(1, n_batch)``."""
        self.library_log_means.copy_(means)
        self.library_log_vars.copy_(variances)

    def transform_input(self, x: Tensor | SparseRows) -> Any:
        """Return what the encoder reads: log1p of counts, other data as they are."""
        if not self.spec.counts:
            return x
        return x.map_values(torch.log1p) if isinstance(x, SparseRows) else torch.log1p(x)

    def _codes(self, batch_index: Tensor, cat_covs: Tensor | None) -> list[Tensor]:
        codes = [batch_index.reshape(-1).long()]
        if cat_covs is not None:
            codes += [column.reshape(-1).long() for column in cat_covs.split(1, dim=1)]
        return codes

    def _get_inference_input(
        self, tensors: dict[str, Tensor], full_forward_pass: bool = False
    ) -> dict[str, Tensor | None]:
        if full_forward_pass or self.minified_data_type is None:
            return {
                MODULE_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY],
                MODULE_KEYS.BATCH_INDEX_KEY: tensors[REGISTRY_KEYS.BATCH_KEY],
                MODULE_KEYS.CONT_COVS_KEY: tensors.get(REGISTRY_KEYS.CONT_COVS_KEY),
                MODULE_KEYS.CAT_COVS_KEY: tensors.get(REGISTRY_KEYS.CAT_COVS_KEY),
            }
        return {
            MODULE_KEYS.QZM_KEY: tensors[REGISTRY_KEYS.LATENT_QZM_KEY],
            MODULE_KEYS.QZV_KEY: tensors[REGISTRY_KEYS.LATENT_QZV_KEY],
            REGISTRY_KEYS.OBSERVED_LIB_SIZE: tensors[REGISTRY_KEYS.OBSERVED_LIB_SIZE],
        }

    @auto_move_data
    def _regular_inference(
        self,
        x: Tensor | SparseRows,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Tensor | Distribution | None]:
        x = x.to(batch_index.device)
        encoder_input = self.transform_input(x)
        codes: list[Tensor] = []
        if self.encode_covariates:
            codes = self._codes(batch_index, cat_covs)
            if cont_covs is not None:
                dense = encoder_input.to_dense() if isinstance(x, SparseRows) else encoder_input
                encoder_input = torch.cat((dense, cont_covs), dim=-1)
        qz = self.z_encoder(encoder_input, codes)
        ql = None if self.l_encoder is None else self.l_encoder(encoder_input, codes)
        shape = (n_samples,) if n_samples > 1 else ()
        z = qz.rsample(shape)
        if ql is not None:
            library = ql.rsample(shape)
        else:
            totals = x.totals.unsqueeze(1) if isinstance(x, SparseRows) else x.sum(1, keepdim=True)
            library = totals.log() if self.spec.counts else torch.zeros_like(totals)
            library = library.expand(*shape, *library.shape)
        return {
            MODULE_KEYS.Z_KEY: z,
            MODULE_KEYS.QZ_KEY: qz,
            MODULE_KEYS.QL_KEY: ql,
            MODULE_KEYS.LIBRARY_KEY: library,
        }

    @auto_move_data
    def _cached_inference(
        self, qzm: Tensor, qzv: Tensor, observed_lib_size: Tensor, n_samples: int = 1
    ) -> dict[str, Tensor | Distribution | None]:
        qz = Normal(qzm, qzv.sqrt())
        shape = (n_samples,) if n_samples > 1 else ()
        library = observed_lib_size.log() if self.spec.counts else torch.zeros_like(observed_lib_size)
        return {
            MODULE_KEYS.Z_KEY: qz.sample(shape),
            MODULE_KEYS.QZ_KEY: qz,
            MODULE_KEYS.QL_KEY: None,
            MODULE_KEYS.LIBRARY_KEY: library.expand(*shape, *library.shape),
        }

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any]
    ) -> dict[str, Tensor | None]:
        size_factor = tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY)
        return {
            MODULE_KEYS.Z_KEY: inference_outputs[MODULE_KEYS.Z_KEY],
            MODULE_KEYS.LIBRARY_KEY: inference_outputs[MODULE_KEYS.LIBRARY_KEY],
            MODULE_KEYS.BATCH_INDEX_KEY: tensors[REGISTRY_KEYS.BATCH_KEY],
            MODULE_KEYS.CONT_COVS_KEY: tensors.get(REGISTRY_KEYS.CONT_COVS_KEY),
            MODULE_KEYS.CAT_COVS_KEY: tensors.get(REGISTRY_KEYS.CAT_COVS_KEY),
            MODULE_KEYS.SIZE_FACTOR_KEY: None if size_factor is None else size_factor.log(),
        }

    @auto_move_data
    def generative(
        self,
        z: Tensor,
        library: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        size_factor: Tensor | None = None,
        transform_batch: int | None = None,
    ) -> dict[str, Distribution | None]:
        """Decode latent points.

        Parameters
        ----------
        z
            Latent points, ``([n_samples,] n_cells, n_latent)``.
        library
            Log library size, ``([n_samples,] n_cells, 1)``.
        batch_index
            Batch of each cell, ``(n_cells, 1)``.
        cont_covs, cat_covs
            Covariates, ``(n_cells, n_covariates)``.
        size_factor
            Log size factor, ``(n_cells, 1)``; takes the place of the library where the module uses size factors.
        transform_batch
            Decode every cell as if it came from this batch.

        Returns
        -------
        Distribution of the data, of the library (``None`` if it is observed) and prior of the latent points.
        """
        if transform_batch is not None:
            batch_index = torch.full_like(batch_index, int(transform_batch))
        if cont_covs is not None:
            z_in = torch.cat((z, cont_covs.expand(*z.shape[:-1], cont_covs.shape[-1])), dim=-1)
        else:
            z_in = z
        out = self.decoder(z_in, self._codes(batch_index, cat_covs))
        px = likelihood(
            self.gene_likelihood,
            scale=out.scale,
            log_exposure=size_factor if self.use_size_factor else library,
            log_dispersion=self._log_dispersion(out.log_dispersion, batch_index),
            zi_logits=out.zi_logits,
            normalise=not self.use_size_factor,
        )
        pl = None
        if not self.use_observed_lib_size:
            rows = batch_index.reshape(-1).long()
            means, variances = self.library_log_means[0, rows, None], self.library_log_vars[0, rows, None]
            pl = Normal(means, variances.sqrt(), validate_args=False)
        return {
            MODULE_KEYS.PX_KEY: px,
            MODULE_KEYS.PL_KEY: pl,
            MODULE_KEYS.PZ_KEY: Normal(torch.zeros_like(z), torch.ones_like(z), validate_args=False),
        }

    def _log_dispersion(self, per_cell: Tensor | None, batch_index: Tensor) -> Tensor | None:
        if per_cell is not None:
            return limited(full_precision(per_cell))
        if self.px_r is None:
            return None
        return self.px_r[batch_index.reshape(-1).long()] if self.dispersion == "gene-batch" else self.px_r

    @unsupported_if_adata_minified
    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: Tensor | float = 1.0,
    ) -> LossOutput:
        """Return the negative ELBO; `kl_weight` scales the divergence of the latent points, not of the library."""
        qz = inference_outputs[MODULE_KEYS.QZ_KEY]
        # The prior is standard normal.
        kl_z = 0.5 * (qz.loc.square() + qz.scale.square() - 1 - 2 * qz.scale.log()).sum(-1)
        kl_l = torch.zeros_like(kl_z)
        if not self.use_observed_lib_size:
            ql, pl = inference_outputs[MODULE_KEYS.QL_KEY], generative_outputs[MODULE_KEYS.PL_KEY]
            ratio = ql.scale / pl.scale
            kl_l = (0.5 * (ratio.square() + ((ql.loc - pl.loc) / pl.scale).square() - 1) - ratio.log()).sum(-1)
        reconstruction = -generative_outputs[MODULE_KEYS.PX_KEY].log_likelihood(tensors[REGISTRY_KEYS.X_KEY])
        return LossOutput(
            loss=(reconstruction + kl_weight * kl_z + kl_l).mean(),
            reconstruction_loss=reconstruction,
            kl_local={MODULE_KEYS.KL_L_KEY: kl_l, MODULE_KEYS.KL_Z_KEY: kl_z},
        )

    @torch.inference_mode()
    def sample(
        self, tensors: dict[str, Tensor], n_samples: int = 1, generative_kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        """Draw from the posterior predictive distribution: ``(n_cells, n_genes[, n_samples])`` on the CPU."""
        _, generative_outputs = self.forward(
            tensors,
            inference_kwargs={"n_samples": n_samples},
            generative_kwargs=generative_kwargs,
            compute_loss=False,
        )
        px = generative_outputs[MODULE_KEYS.PX_KEY]
        if self.gene_likelihood == "poisson":
            px = px.distribution
            px.rate = px.rate.clamp(max=_LARGEST_RATE)
        samples = px.sample()
        return (samples.permute(1, 2, 0) if n_samples > 1 else samples).cpu()
