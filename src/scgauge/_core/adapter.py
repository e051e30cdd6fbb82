"""What `tl` may ask of a model, and the answers of scvi-tools' own models.

`adapt(model)` is the only way from `tl` into a model. Model classes of scgauge register themselves in `model/`;
SCVI, LinearSCVI and SCANVI, whose modules share one interface, are registered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scvi.model
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

from scgauge._core.compat import MODULE_KEYS, silent_transfer
from scgauge._core.elbo import divergence, labelled_divergence, log_likelihood
from scgauge._core.encoder_network import encoder_network
from scgauge._core.loggers import warnings_only
from scgauge._core.matrix import readable, row_sums
from scgauge._core.model_protocol import CellContext
from scgauge._core.rng import same_torch_state
from scgauge._core.stored_rows import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgauge._core.encoder_network import EncoderNetwork
    from scgauge._core.model_protocol import Adapter
    from scgauge._core.stored_rows import StoredRows

#: Cells decoded at once. Fixed, so that no result depends on it.
CELLS_AT_ONCE = 512


_REGISTRY: dict[type, Callable[[Any], Adapter]] = {}


def register_adapter(model_class: type, adapter: Callable[[Any], Adapter]) -> None:
    """Register the adapter of a model class and its subclasses."""
    _REGISTRY[model_class] = adapter


def adapt(model: Any) -> Adapter:
    """Return the adapter of a trained model.

    Raises
    ------
    TypeError
        If the class of the model has no adapter.
    RuntimeError
        If the model is not trained.
    """
    for parent in type(model).__mro__:
        if parent in _REGISTRY:
            if not model.is_trained:
                message = f"The {type(model).__name__} model is not trained. Run: model.train()"
                raise RuntimeError(message)
            return _REGISTRY[parent](model)
    known = sorted(cls.__name__ for cls in _REGISTRY)
    message = (
        f"{type(model).__name__} cannot be read: it offers neither encode, decode nor prior to scgauge. "
        f"Pass a model of one of the classes {known} or of a subclass."
    )
    raise TypeError(message)


def shell(adata: AnnData) -> AnnData:
    """Return an AnnData with the matrices of `adata` that takes the notes which scvi-tools writes into obs and uns."""
    layers = {key: readable(value) for key, value in adata.layers.items() if key is not None}
    return AnnData(
        X=None if adata.X is None else readable(adata.X),
        obs=adata.obs.copy(),
        var=adata.var.copy(),
        layers=layers,
        obsm=dict(adata.obsm),
    )


class VAEAdapter:
    """Adapter of models whose module is a VAE in scvi-tools' form (``inference``, ``generative``)."""

    def __init__(self, model: Any, manager: Any = None) -> None:
        self.model = model
        self.module = model.module
        self._given_manager = manager
        self._reader: StoredRows | None = None

    @property
    def _manager(self) -> Any:
        return self.model.adata_manager if self._given_manager is None else self._given_manager

    def on(self, adata: AnnData) -> VAEAdapter:
        """Return the adapter for other cells, registered as the model's own were; nothing is written into them."""
        with silent_transfer():
            data = self.model._validate_anndata(shell(adata))
        return type(self)(self.model, self.model.get_anndata_manager(data, required=True))

    @property
    def matrix(self) -> Any:
        """The data that the encoder reads, ``(n_cells, n_genes)``, as they are stored; of data on disk a reader."""
        if self._reader is None:
            matrix = self._manager.get_from_registry(REGISTRY_KEYS.X_KEY)
            self._reader = reader_of(matrix)
            return matrix if self._reader is None else self._reader
        return self._reader

    def encoder_network(self) -> EncoderNetwork:
        """Return the encoder in two parts, in evaluation mode."""
        self.module.eval()
        return encoder_network(self.module)

    def class_logits(self, z: torch.Tensor) -> torch.Tensor:
        """Logits of the labels, ``(n_cells, n_labels)``, from latent means.

        Raises
        ------
        TypeError
            If the model has no classifier.
        """
        if not hasattr(self.module, "classify_helper"):
            message = f"{type(self.model).__name__} has no classifier. Pass a scvi.model.SCANVI for classes."
            raise TypeError(message)
        return self.module.classify_helper(z)

    def decoded_mean(self, z: torch.Tensor, context: CellContext) -> torch.Tensor:
        """Mean of the likelihood with its gradient, ``(n_cells, n_genes)``."""
        return likelihood_parameters(self._distribution(z, context))["mean"]

    def elbo(
        self, x: torch.Tensor, posterior: tuple[torch.Tensor, torch.Tensor], context: CellContext, noise: torch.Tensor
    ) -> torch.Tensor:
        """Evidence lower bound of each cell with its gradient, ``(n_cells,)``, averaged over given noise.

        Parameters
        ----------
        x
            Data, ``(n_cells, n_genes)``, whole numbers or not.
        posterior
            Mean and variance of the latent points, ``(n_cells, n_latent)`` each.
        context
            What the decoder reads beside the latent points.
        noise
            Standard normal numbers, ``(n_draws, 2, n_latent)``; the second ones are for models with a labelled prior.
        """
        mean, variance = posterior
        total = torch.zeros(len(x), device=x.device)
        for first, second in noise:
            z = mean + variance.sqrt() * first
            parameters = likelihood_parameters(self._distribution(self._decoder_input(z), context))
            total = total + log_likelihood(self.likelihood, parameters, x)
            if "labelled_prior" in self.capabilities:
                total = total - labelled_divergence(self.module, mean, variance, z, second)
        if "labelled_prior" not in self.capabilities:
            return total / len(noise) - divergence(mean, variance)
        return total / len(noise)

    def _decoder_input(self, z: torch.Tensor) -> torch.Tensor:
        return z if getattr(self.module, "latent_distribution", "normal") == "normal" else torch.softmax(z, dim=-1)

    @property
    def genes(self) -> pd.Index:
        """Names of the genes."""
        return pd.Index(np.asarray(self.model.get_var_names()).astype(str))

    @property
    def latents(self) -> list[str]:
        """Names of the latent dimensions: ``Z_0``, ``Z_1``, ..., as scvi-tools names loadings, or the model's own."""
        own = getattr(self.model, "factor_names", None)
        return [f"Z_{index}" for index in range(self.module.n_latent)] if own is None else list(own)

    @property
    def likelihood(self) -> str:
        """Likelihood of the genes."""
        return self.module.gene_likelihood

    @property
    def capabilities(self) -> frozenset[str]:
        """Among "size_factor", "latent_library", "labelled_prior", "loadings"."""
        found = set()
        if self._uses_size_factor:
            found.add("size_factor")
        if not self.module.use_observed_lib_size:
            found.add("latent_library")
        if hasattr(self.module, "decoder_z1_z2"):
            found.add("labelled_prior")
        if hasattr(self.module, "get_loadings"):
            found.add("loadings")
        return frozenset(found)

    def loadings(self) -> np.ndarray:
        """Return the loadings of a linear decoder, ``(n_genes, n_latent)``; needs the capability "loadings"."""
        return np.asarray(self.module.get_loadings(), dtype=np.float64)

    def loadings_covariance(self) -> np.ndarray | None:
        """Return the posterior covariance of the loadings of each gene over factors, ``(n_genes, n_latent, n_latent)``.

        ``None`` if the loadings have no posterior.
        """
        get = getattr(self.module, "get_loadings_covariance", None)
        return None if get is None else np.asarray(get(), dtype=np.float64)

    @property
    def _uses_size_factor(self) -> bool:
        module = self.module
        return bool(getattr(module, "use_size_factor", False) or getattr(module, "use_size_factor_key", False))

    def _state(self, key: str) -> Any:
        return self.model.adata_manager.get_state_registry(key)

    def _registered(self, key: str, cells: np.ndarray) -> np.ndarray | None:
        manager = self._manager
        if key not in manager.data_registry:
            return None
        return np.asarray(manager.get_from_registry(key))[cells]

    def categories(self, key: str) -> np.ndarray:
        """Names behind the codes of ``"batch"`` or ``"labels"``; labels without the unlabelled category."""
        registry_key = REGISTRY_KEYS.BATCH_KEY if key == "batch" else REGISTRY_KEYS.LABELS_KEY
        names = np.asarray(self._state(registry_key).categorical_mapping).astype(str)
        if key == "labels" and "labelled_prior" in self.capabilities:
            names = names[: self.module.n_labels]
        return names

    def covariates(self) -> dict[str, np.ndarray | None]:
        """Covariates by name, in the order of the decoder: their categories, or ``None`` for numbers."""
        arguments = self.model.registry_["setup_args"]
        found: dict[str, np.ndarray | None] = {}
        if arguments.get("categorical_covariate_keys"):
            state = self._state(REGISTRY_KEYS.CAT_COVS_KEY)
            found |= {key: np.asarray(state.mappings[key]) for key in state.field_keys}
        if arguments.get("continuous_covariate_keys"):
            found |= dict.fromkeys(map(str, self._state(REGISTRY_KEYS.CONT_COVS_KEY).columns))
        return found

    def training_cells(self) -> np.ndarray:
        """Return the indices of the cells that the model was trained on.

        Raises
        ------
        RuntimeError
            If the model has no data attached.
        """
        if self.model.adata is None:
            message = "The model has no cells attached. Load it with its data: Model.load(path, adata=adata)."
            raise RuntimeError(message)
        cells = self.model.train_indices_
        return np.arange(self.model.adata.n_obs) if cells is None else np.sort(np.asarray(cells))

    def context(self, cells: np.ndarray) -> CellContext:
        """Return what the decoder reads beside the latent point, for cells of the model's data."""
        manager = self._manager
        batch = self._registered(REGISTRY_KEYS.BATCH_KEY, cells)
        labels = self._registered(REGISTRY_KEYS.LABELS_KEY, cells)
        if self._uses_size_factor:
            exposure = self._registered(REGISTRY_KEYS.SIZE_FACTOR_KEY, cells)
        elif REGISTRY_KEYS.OBSERVED_LIB_SIZE in manager.data_registry:
            exposure = self._registered(REGISTRY_KEYS.OBSERVED_LIB_SIZE, cells)
        else:
            exposure = row_sums(self.matrix, cells)
        n_cells = len(cells)
        return CellContext(
            batch=np.zeros(n_cells, dtype=int) if batch is None else batch.ravel().astype(int),
            exposure=np.asarray(exposure, dtype=float).ravel(),
            labels=np.zeros(n_cells, dtype=int) if labels is None else labels.ravel().astype(int),
            cat_covs=self._registered(REGISTRY_KEYS.CAT_COVS_KEY, cells),
            cont_covs=self._registered(REGISTRY_KEYS.CONT_COVS_KEY, cells),
        )

    def encode(self, cells: np.ndarray | None = None, adata: AnnData | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the approximate posterior, ``(n_cells, n_latent)`` each."""
        data = None if adata is None else shell(adata)
        # scvi-tools also draws from the posterior; nobody reads the draws, and they must not move the global state.
        # Of the shell that scvi-tools registers the user knows nothing.
        with same_torch_state(), warnings_only("scvi"):
            return self.model.get_latent_representation(data, indices=cells, return_dist=True)

    @torch.inference_mode()
    def encode_library(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the posterior of a latent log library size, ``(n_cells,)`` each."""
        parts = []
        with same_torch_state():
            for tensors in self.model._make_data_loader(adata=self.model.adata, indices=cells):
                ql = self.module.inference(**self.module._get_inference_input(tensors))[MODULE_KEYS.QL_KEY]
                parts.append(torch.cat((ql.loc, ql.scale.square()), dim=1).double().cpu().numpy())
        mean, variance = np.concatenate(parts).T
        return mean, variance

    def library_prior(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the prior of the log library size of each cell, ``(n_cells,)`` each."""
        means, variances = (
            getattr(self.module, name).double().cpu().numpy().ravel()[batch]
            for name in ("library_log_means", "library_log_vars")
        )
        return means, variances

    @torch.inference_mode()
    def prior(self, context: CellContext, rng: np.random.Generator) -> np.ndarray:
        """Draw latent points from the prior, ``(n_cells, n_latent)``.

        SCANVI has a prior for each label: its points come from the label of each cell.
        """
        z = rng.standard_normal((len(context.batch), self.module.n_latent))
        if "labelled_prior" in self.capabilities:
            pz1 = self.module.decoder_z1_z2(self._tensor(z), self._codes(context.labels[:, None]))
            mean, variance = (part.double().cpu().numpy() for part in pz1)
            z = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        return self.transform_latent(z)

    def draw_latent(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw latent points from their posterior, in the space that the decoder reads."""
        return self.transform_latent(rng.normal(mean, np.sqrt(variance)))

    def transform_latent(self, z: np.ndarray) -> np.ndarray:
        """Bring draws from the posterior into the space that the decoder reads (softmax for a logistic normal)."""
        return self._decoder_input(torch.as_tensor(z)).numpy()

    def _tensor(self, values: np.ndarray | torch.Tensor | None) -> torch.Tensor | None:
        return None if values is None else torch.as_tensor(values, dtype=torch.float32, device=self.module.device)

    def _codes(self, codes: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(codes, dtype=torch.long, device=self.module.device)

    @torch.inference_mode()
    def decode(self, z: np.ndarray, context: CellContext) -> dict[str, np.ndarray]:
        """Parameters of the likelihood, ``(n_cells, n_genes)`` each; decodes `CELLS_AT_ONCE` cells at a time."""
        self.module.eval()
        blocks: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(z), CELLS_AT_ONCE):
            rows = slice(start, start + CELLS_AT_ONCE)
            for name, value in likelihood_parameters(self._distribution(z[rows], context.take(rows))).items():
                blocks.setdefault(name, []).append(value.double().cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in blocks.items()}

    def _distribution(self, z: np.ndarray | torch.Tensor, context: CellContext) -> Any:
        log_exposure = self._tensor(np.log(context.exposure[:, None])) if self._reads_exposure else None
        arguments = {
            "z": self._tensor(z),
            "library": log_exposure,
            "batch_index": self._codes(context.batch[:, None]),
            "cont_covs": self._tensor(context.cont_covs),
            "cat_covs": None if context.cat_covs is None else self._codes(context.cat_covs),
            "size_factor": log_exposure if self._uses_size_factor else None,
        }
        if isinstance(self.module, scvi.module.VAE):
            arguments["y"] = self._codes(context.labels[:, None])
            if arguments["library"] is None:
                arguments["library"] = torch.zeros((len(z), 1), device=self.module.device)
        return self.module.generative(**arguments)[MODULE_KEYS.PX_KEY]

    @property
    def _reads_exposure(self) -> bool:
        return self.likelihood not in {"normal", "bernoulli"}


def likelihood_parameters(px: Any) -> dict[str, torch.Tensor]:
    """Return mean, dispersion and zero inflation of a likelihood, each in the shape of its mean.

    "dispersions" is the inverse dispersion of counts and the standard deviation of normal data; "dropout" is the
    probability of a structural zero.
    """
    mean = px.get_normalized("mu")
    parameters = {"mean": mean}
    if isinstance(px, torch.distributions.Normal):
        parameters["dispersions"] = px.scale.expand_as(mean)
    elif hasattr(px, "theta"):
        parameters["dispersions"] = px.theta.expand_as(mean)
    if hasattr(px, "zi_probs"):
        parameters["dropout"] = px.zi_probs
    return parameters


for _model_class in (scvi.model.SCVI, scvi.model.LinearSCVI, scvi.model.SCANVI):
    register_adapter(_model_class, VAEAdapter)
