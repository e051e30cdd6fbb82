from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import nn

from scgauge._core.compat import MODULE_KEYS
from scgauge.nn import (
    LIKELIHOODS,
    ActivationName,
    LayerStack,
    LinearHead,
    PredictedLinear,
    SparseRows,
    TiedStack,
    hutchinson_jacobian_norm,
    layer_jacobian_norm,
    likelihood,
    weight_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

Noise = Literal["masking", "gaussian"]
SparsityTarget = Literal["weights", "activations"]


class AutoencoderModule(BaseModuleClass):
    r"""Autoencoder of single cells; the network behind :class:`~scgauge.model.Autoencoder`.

    With :math:`\tilde x` the input, noise added while training,

    .. math::

        z = E_\phi(\tilde x), \qquad
        L = \operatorname{rec}(x, D_\theta(z)) + \lambda_1 \lVert W \rVert_1 \text{ or } \lambda_1 \lVert z \rVert_1
        + \lambda_c \lVert \partial z / \partial \tilde x \rVert_F^2,

    where the reconstruction is :math:`\lVert x - \hat x \rVert^2` for ``"normal"`` and a negative log-likelihood
    otherwise. The penalty of weights is not in the loss: it is applied by the proximal step of
    :class:`~scgauge.train.AutoencoderPlan`, which makes exact zeros.

    Parameters
    ----------
    n_input
        Number of genes.
    hidden
        Widths of the hidden layers, from the genes to the latent space.
    n_latent, gene_likelihood, activation, latent_activation, tied, noise, noise_level
        See :class:`~scgauge.model.Autoencoder`.
    sparsity, sparsity_target, contractive, n_probes
        See :class:`~scgauge.model.Autoencoder`.
    mask
        Genes of each unit of the first layer, ``(n_input, n_units)``; that layer comes before `hidden`.
    gene_embedding
        Embedding of each gene, ``(n_input, n_dims)``, from which the weights of the first layer are predicted.
    """

    #: What a training plan of counts may ask.
    needs_library_prior = False
    use_observed_lib_size = True

    def __init__(
        self,
        n_input: int,
        *,
        hidden: Sequence[int] = (128,),
        n_latent: int = 10,
        gene_likelihood: str = "normal",
        activation: ActivationName = "relu",
        latent_activation: ActivationName = "identity",
        tied: bool = False,
        noise: Noise | None = None,
        noise_level: float = 0.3,
        sparsity: float = 0.0,
        sparsity_target: SparsityTarget = "weights",
        contractive: float = 0.0,
        n_probes: int = 1,
        mask: np.ndarray | None = None,
        gene_embedding: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.spec = LIKELIHOODS[gene_likelihood]
        self.n_input, self.n_latent, self.gene_likelihood = n_input, n_latent, gene_likelihood
        self.noise, self.noise_level = noise, noise_level
        self.sparsity, self.sparsity_target = sparsity, sparsity_target
        self.contractive, self.n_probes = contractive, n_probes
        first: nn.Module | None = None
        if mask is not None:
            first = LinearHead(n_input, mask.shape[1], mask=torch.tensor(mask.T.copy(), dtype=torch.bool))
            hidden = (mask.shape[1], *hidden)
        sizes = [n_input, *hidden, n_latent]
        if gene_embedding is not None:
            first = PredictedLinear(torch.tensor(gene_embedding, dtype=torch.float32), sizes[1])
        self.z_encoder = LayerStack(sizes, activation=activation, last=latent_activation, first=first)
        self.decoder: LayerStack | TiedStack = (
            TiedStack(self.z_encoder) if tied else LayerStack(sizes[::-1], activation=activation)
        )
        has_dispersion = self.spec.dispersion and gene_likelihood != "normal"
        self.px_r = nn.Parameter(torch.randn(n_input)) if has_dispersion else None
        #: Mean cell, which the encoder subtracts: with it in the way, training of the first layer takes far longer.
        self.register_buffer("input_mean", torch.zeros(n_input))
        #: Spread of the residuals of each gene, set after training; one of the parameters of normal data.
        self.register_buffer("residual_sd", torch.ones(n_input))

    @property
    def has_free_constant(self) -> bool:
        """Whether a constant may be added to all loadings of a latent dimension without any change: with a softmax."""
        return self.spec.counts

    @property
    def is_linear(self) -> bool:
        """Whether genes are decoded by one linear map."""
        return len(self.decoder.weights()) == 1

    def transform_input(self, x: Tensor | SparseRows) -> Tensor:
        """Return what the encoder reads: log1p of counts, other data as they are."""
        x = x.to_dense() if isinstance(x, SparseRows) else x
        return torch.log1p(x) if self.spec.counts else x

    def corrupt(self, x: Tensor) -> Tensor:
        """Add the noise of a denoising autoencoder: set entries to zero, or add Gaussian noise."""
        if self.noise == "masking":
            return x * (torch.rand_like(x) >= self.noise_level)
        if self.noise == "gaussian":
            return x + self.noise_level * torch.randn_like(x)
        return x

    @torch.no_grad()
    def start_from_mean(self, mean: Tensor) -> None:
        """Start the intercepts of the output from the mean of each gene, ``(n_genes,)``."""
        if self.gene_likelihood == "bernoulli":
            mean = mean.logit()
        elif self.spec.counts:
            mean = mean.log()
        self.decoder.output_bias.copy_(mean)

    @torch.no_grad()
    def get_loadings(self) -> np.ndarray:
        """Return the weights of a linear decoder, ``(n_genes, n_latent)``."""
        return self.decoder.weights()[0].cpu().numpy()

    def _get_inference_input(self, tensors: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        return {MODULE_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY]}

    @auto_move_data
    def inference(self, x: Tensor | SparseRows, n_samples: int = 1) -> dict[str, Any]:
        """Encode cells; in training with noise on the input and, if asked for, the norm of the Jacobian."""
        x = x.to(self.device)
        read = self.transform_input(x)
        totals = x.totals.unsqueeze(1) if isinstance(x, SparseRows) else x.sum(1, keepdim=True)
        library = totals.log() if self.spec.counts else torch.zeros_like(totals)
        jacobian = None
        if self.training:
            read = self.corrupt(read)
        if self.training and self.contractive:
            z, jacobian = self.encode_with_jacobian(read)
        else:
            z = self.z_encoder(read - self.input_mean)
        return {MODULE_KEYS.Z_KEY: z, MODULE_KEYS.LIBRARY_KEY: library, "jacobian": jacobian}

    def encode_with_jacobian(self, read: Tensor) -> tuple[Tensor, Tensor]:
        """Encode, and return the squared norm of the Jacobian of each cell: exact for one layer, else estimated."""
        if len(self.z_encoder.linears) == 1:
            layer = self.z_encoder.linears[0]
            pre, activation = layer(read - self.input_mean), self.z_encoder.output_activation
            return activation(pre), layer_jacobian_norm(weight_of(layer), pre, activation)
        read = read.detach().requires_grad_()
        z = self.z_encoder(read - self.input_mean)
        return z, hutchinson_jacobian_norm(z, read, n_probes=self.n_probes)

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any]) -> dict[str, Tensor]:
        return {key: inference_outputs[key] for key in (MODULE_KEYS.Z_KEY, MODULE_KEYS.LIBRARY_KEY)}

    @auto_move_data
    def generative(self, z: Tensor, library: Tensor | None = None) -> dict[str, Any]:
        """Decode latent points.

        Parameters
        ----------
        z
            Latent points, ``(n_cells, n_latent)``.
        library
            Log library size of each cell, ``(n_cells, 1)``; for counts alone.

        Returns
        -------
        Distribution of the data.
        """
        px = likelihood(
            self.gene_likelihood,
            scale=self.decoder(z),
            log_exposure=library,
            log_dispersion=self.residual_sd.log() if self.gene_likelihood == "normal" else self.px_r,
        )
        return {MODULE_KEYS.PX_KEY: px}

    def reconstruction(self, x: Tensor | SparseRows, px: Any) -> Tensor:
        """Squared error of each cell for normal data, else the negative log-likelihood, ``(n_cells,)``."""
        if self.gene_likelihood != "normal":
            return -px.log_likelihood(x)
        return (self.transform_input(x) - px.loc).square().sum(1)

    def loss(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any], generative_outputs: dict[str, Any]
    ) -> LossOutput:
        """Return the reconstruction error and the penalties that have gradients, averaged over cells."""
        reconstruction = self.reconstruction(tensors[REGISTRY_KEYS.X_KEY], generative_outputs[MODULE_KEYS.PX_KEY])
        z, jacobian = inference_outputs[MODULE_KEYS.Z_KEY], inference_outputs["jacobian"]
        loss, extra = reconstruction.mean(), {}
        if self.sparsity and self.sparsity_target == "activations":
            extra["l1_activations"] = z.abs().sum(1).mean()
            loss = loss + self.sparsity * extra["l1_activations"]
        if jacobian is not None:
            extra["jacobian_norm"] = jacobian.mean()
            loss = loss + self.contractive * extra["jacobian_norm"]
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            extra_metrics={name: value.detach() for name, value in extra.items()},
            n_obs_minibatch=len(z),
        )

    def sparse_parameters(self) -> list[nn.Parameter]:
        """Weights of the encoder that the proximal step pulls to zero."""
        if not (self.sparsity and self.sparsity_target == "weights"):
            return []
        return [p for name, p in self.z_encoder.named_parameters() if name.endswith("weight")]
