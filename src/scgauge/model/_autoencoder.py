from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin

from scgauge._core.adapter import VAEAdapter, register_adapter, shell
from scgauge._core.compat import MODULE_KEYS, silent_transfer
from scgauge._core.matrix import iter_rows
from scgauge.model._autoencoder_results import AutoencoderResults
from scgauge.model._gene_embedding import read_gene_embedding
from scgauge.model._mask import read_mask
from scgauge.model._registered_cells import RegisteredCells
from scgauge.model._setup_without_covariates import SetupWithoutCovariates
from scgauge.model._start_from_mean import StartFromMean
from scgauge.module import AutoencoderModule, Noise, SparsityTarget
from scgauge.nn import ACTIVATIONS
from scgauge.train import AutoencoderPlan, CellSplitter, cell_loader

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge._core.model_protocol import CellContext
    from scgauge.nn import ActivationName

_LIKELIHOODS = ("normal", "nb", "poisson", "bernoulli")


class Autoencoder(
    SetupWithoutCovariates,
    RegisteredCells,
    StartFromMean,
    AutoencoderResults,
    UnsupervisedTrainingMixin,
    BaseModelClass,
):
    r"""Autoencoder: linear, deep, sparse, denoising, contractive, tied, or with a layer of gene sets.

    One class with a choice of network and penalty, so that the members of the family can be compared on the same
    cells, with principal components and with the variational autoencoder :class:`CountVI`. It embeds and reconstructs
    cells; it is no generative model by itself, and draws new cells (:func:`scgauge.tl.sample`) from a mixture of
    Gaussians that is fitted to its latent points. The loss is written out in :class:`scgauge.module.AutoencoderModule`.

    * linear :cite:p:`Baldi89`: ``n_layers=0``; spans the space of the first principal components;
    * sparse: ``sparsity=``, with weights of exactly zero by proximal steps, or with penalised activations;
    * denoising :cite:p:`Vincent08`: ``noise="masking"`` or ``"gaussian"`` on the input, the target stays clean;
    * contractive :cite:p:`Rifai11`: ``contractive=``, a penalty of the Jacobian of the encoder;
    * gene sets :cite:p:`Chen18`: ``mask_key=``; units of the first layer read the genes of one set each.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    registry
        Registry of the data, to build the model without an AnnData.
    n_latent
        Dimension of the latent space.
    n_hidden
        Width of the hidden layers; or the widths of all of them from the genes to the latent space, which also say
        how many there are.
    n_layers
        Hidden layers of the encoder, and of the decoder. 0 is a single linear map each.
    gene_likelihood
        ``"normal"`` for log-normalised data, with the squared error as loss; ``"nb"`` or ``"poisson"`` for counts,
        ``"bernoulli"`` for data that are exactly 0 or 1, with their negative log-likelihoods.
    activation
        Of hidden layers: ``"relu"``, ``"elu"``, ``"tanh"``, ``"sigmoid"``, ``"softplus"`` or ``"identity"``.
    latent_activation
        Of the latent layer.
    tied
        Whether the decoder uses the weights of the encoder, transposed.
    noise
        Noise on the input while training: ``"masking"`` sets entries to zero, ``"gaussian"`` is added to what the
        encoder reads (log1p of counts).
    noise_level
        Probability of an entry to be masked, or standard deviation.
    sparsity
        Weight of the L1 penalty.
    sparsity_target
        ``"weights"`` of the encoder, or ``"activations"`` of the latent layer (averaged over cells).
    contractive
        Weight of :math:`\lVert \partial z / \partial x \rVert_F^2`, in closed form for one layer, else by Hutchinson's
        estimate.
    n_probes
        Random vectors of that estimate for each cell and step.
    mask_key
        Key in ``adata.varm`` of gene sets as :func:`scgauge.pp.gene_set_mask` writes them, or such a data frame.
        Before the hidden layers comes one with a unit for each set; weights outside the set are exactly zero.
    n_free_units
        With `mask_key`, further units of that layer that read all genes.
    gene_embedding_key
        Key in ``adata.varm`` of an embedding of the genes (:func:`scgauge.pp.gene_embedding`, or a data frame): the
        weights of the first encoder layer are then predicted from it, a diet network :cite:p:`Romero17`. Experimental.

    Raises
    ------
    KeyError
        If there is no such mask or embedding in ``adata.varm``.
    ValueError
        If the data do not fit the likelihood, an argument is out of range or options contradict each other.

    Examples
    --------
    >>> import scanpy as sc, scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 30, rng=0)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> scgauge.model.Autoencoder.setup_anndata(adata)
    >>> model = scgauge.model.Autoencoder(adata, n_latent=2, noise="masking")
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.get_reconstruction().shape
    (100, 30)
    """

    _module_cls = AutoencoderModule
    _training_plan_cls = AutoencoderPlan
    _data_splitter_cls = CellSplitter
    _data_loader_cls = staticmethod(cell_loader)

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        n_latent: int = 10,
        n_hidden: int | Sequence[int] = 128,
        n_layers: int = 1,
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
        mask_key: str | pd.DataFrame | None = None,
        n_free_units: int = 0,
        gene_embedding_key: str | pd.DataFrame | None = None,
    ) -> None:
        super().__init__(adata, registry)
        network: dict[str, Any] = {
            "n_latent": n_latent,
            "hidden": _widths(n_hidden, n_layers),
            "gene_likelihood": gene_likelihood,
            "activation": activation,
            "latent_activation": latent_activation,
            "tied": tied,
            "noise": noise,
            "noise_level": noise_level,
            "sparsity": sparsity,
            "sparsity_target": sparsity_target,
            "contractive": contractive,
            "n_probes": n_probes,
        }
        _check_network(network)
        if adata is not None:
            self._check_data(adata, gene_likelihood)
        arguments = ", ".join(f"{name}: {value}" for name, value in network.items())
        if gene_embedding_key is not None:
            _check_diet(network, mask_key)
            genes = np.asarray(self.get_var_names()).astype(str)
            embedding = gene_embedding_key = read_gene_embedding(gene_embedding_key, adata, genes)
            network["gene_embedding"] = embedding.to_numpy()
        if mask_key is not None:
            # The mask itself is kept, so that a saved model needs no varm.
            mask = read_mask(mask_key, adata, np.asarray(self.get_var_names()).astype(str), n_free_units)
            network["mask"] = mask.to_numpy()
            mask_key = mask.iloc[:, : mask.shape[1] - n_free_units]
        self.module = self._module_cls(int(self.summary_stats.n_vars), **network)
        self._start_intercepts()
        self._center_input()
        self._model_summary_string = f"Autoencoder with the following parameters: \n{arguments}."
        self.init_params_ = self._get_init_params(locals())

    def _center_input(self) -> None:
        """Tell the module the mean of what its encoder reads."""
        if self.adata is None:
            return
        total = np.zeros(self.adata.n_vars)
        for _, block in iter_rows(self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)):
            read = (block.log1p() if sparse.issparse(block) else np.log1p(block)) if self.module.spec.counts else block
            total += np.asarray(read.sum(axis=0, dtype=np.float64)).ravel()
        self.module.input_mean.copy_(torch.as_tensor(total / self.adata.n_obs))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model; the learning rate falls in the second half of the run.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`: ``max_epochs``, ``accelerator``,
            ``devices``, ``train_size``, ``batch_size``, ``early_stopping``, ``plan_kwargs``, ... and those of the
            trainer. Early stopping watches the reconstruction of validation cells. ``plan_kwargs`` takes the arguments
            of :class:`scgauge.train.AutoencoderPlan`.

        Returns
        -------
        What the training runner of scvi-tools returns.
        """
        kwargs.setdefault("early_stopping_monitor", "reconstruction_loss_validation")
        result = super().train(*args, **kwargs)
        self.latent_density_ = None
        if self.module.gene_likelihood == "normal":
            self._set_residual_sd()
        return result


def _widths(n_hidden: int | Sequence[int], n_layers: int) -> list[int]:
    """Return the widths of the hidden layers."""
    if not isinstance(n_layers, int) or n_layers < 0:
        message = f"n_layers={n_layers!r} was given; an integer of at least 0 is needed."
        raise ValueError(message)
    widths = list(n_hidden) if isinstance(n_hidden, Sequence) else [n_hidden] * n_layers
    if not all(isinstance(width, int) and width >= 1 for width in (*widths, 1)):
        message = f"n_hidden={n_hidden!r} was given; an integer of at least 1, or a list of them, is needed."
        raise ValueError(message)
    return widths


def _check_network(network: dict[str, Any]) -> None:
    """Raise ValueError if an argument is out of range."""
    for name in ("n_latent", "n_probes"):
        if not isinstance(network[name], int) or network[name] < 1:
            message = f"{name}={network[name]!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
    choices: dict[str, tuple] = {
        "gene_likelihood": _LIKELIHOODS,
        "activation": tuple(ACTIVATIONS),
        "latent_activation": tuple(ACTIVATIONS),
        "noise": (None, *get_args(Noise)),
        "sparsity_target": get_args(SparsityTarget),
    }
    for name, allowed in choices.items():
        if network[name] not in allowed:
            message = f"{name}={network[name]!r} was given; choose from {list(allowed)}."
            raise ValueError(message)
    for name in ("sparsity", "contractive", "noise_level"):
        if not (np.isfinite(network[name]) and network[name] >= 0):
            message = f"{name}={network[name]!r} was given; a number of at least 0 is needed."
            raise ValueError(message)
    if network["noise"] == "masking" and network["noise_level"] >= 1:
        message = f"noise_level={network['noise_level']!r} would mask every entry; a probability below 1 is needed."
        raise ValueError(message)


def _check_diet(network: dict[str, Any], mask: Any) -> None:
    """Raise ValueError if an option needs weights that a diet network does not own."""
    if mask is not None:
        message = "mask_key does not go with gene_embedding_key: weights are free within sets, or predicted."
        raise ValueError(message)
    if network["sparsity"] and network["sparsity_target"] == "weights":
        message = "sparsity of weights does not go with gene_embedding_key, which predicts them; penalise activations."
        raise ValueError(message)


class AutoencoderAdapter(VAEAdapter):
    """Adapter of :class:`Autoencoder`: latent points without spread, and a fitted density in place of a prior."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Only "loadings", if the decoder is linear."""
        return frozenset({"loadings"} if self.module.is_linear else ())

    @property
    def first_layer_names(self) -> list[str] | None:
        """Names of the units of the first layer: latent dimensions if it is the only one, gene sets with a mask."""
        if len(self.module.z_encoder.linears) == 1:
            return self.latents
        mask = {name: value for kind in self.model.init_params_.values() for name, value in kind.items()}["mask_key"]
        if mask is None:
            return None
        n_free = self.module.z_encoder.weights()[0].shape[0] - mask.shape[1]
        return [*mask.columns.astype(str), *(f"free_{index}" for index in range(n_free))]

    def encode(self, cells: np.ndarray | None = None, adata: AnnData | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Latent points and zeros, ``(n_cells, n_latent)`` each."""
        with silent_transfer():
            z = self.model.get_latent_representation(None if adata is None else shell(adata), indices=cells)
        return z, np.zeros_like(z)

    def prior(self, context: CellContext, rng: np.random.Generator) -> np.ndarray:
        """Draw latent points from the fitted density, ``(n_cells, n_latent)``."""
        return self.model.get_latent_density().draw(len(context.batch), rng)

    def _distribution(self, z: np.ndarray | torch.Tensor, context: CellContext) -> Any:
        library = self._tensor(np.log(context.exposure[:, None])) if self._reads_exposure else None
        return self.module.generative(self._tensor(z), library)[MODULE_KEYS.PX_KEY]


register_adapter(Autoencoder, AutoencoderAdapter)
