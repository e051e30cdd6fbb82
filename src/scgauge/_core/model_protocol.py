"""What `tl` may ask of any model; `adapter.py` holds the answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from anndata import AnnData

    from scgauge._core.encoder_network import EncoderNetwork


@dataclass(frozen=True)
class CellContext:
    """What a decoder reads beside the latent point, one row for each cell.

    Attributes
    ----------
    batch
        Batch codes, ``(n_cells,)``.
    exposure
        Library sizes, or size factors where the model was set up with them, ``(n_cells,)``.
    labels
        Label codes, ``(n_cells,)``.
    cat_covs, cont_covs
        Covariates, ``(n_cells, n_covariates)``, or ``None``.
    """

    batch: np.ndarray
    exposure: np.ndarray
    labels: np.ndarray
    cat_covs: np.ndarray | None = None
    cont_covs: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> CellContext:
        """Return the context of some of the cells."""
        parts = {name: value[rows] for name, value in vars(self).items() if value is not None}
        return replace(self, **parts)


class Adapter(Protocol):
    """What `tl` may ask of a model."""

    model: Any

    @property
    def genes(self) -> pd.Index:
        """Names of the genes."""

    @property
    def latents(self) -> list[str]:
        """Names of the latent dimensions."""

    @property
    def likelihood(self) -> str:
        """Likelihood of the genes."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Among "size_factor", "latent_library", "labelled_prior", "loadings"."""

    def loadings(self) -> np.ndarray:
        """Return the loadings of a linear decoder, ``(n_genes, n_latent)``; needs the capability "loadings"."""

    def loadings_covariance(self) -> np.ndarray | None:
        """Return the posterior covariance of the loadings of each gene over factors, if the model has one."""

    def categories(self, key: str) -> np.ndarray:
        """Names behind the codes of ``"batch"`` or ``"labels"``."""

    def covariates(self) -> dict[str, np.ndarray | None]:
        """Covariates by name, in the order of the decoder: their categories, or ``None`` for numbers."""

    def training_cells(self) -> np.ndarray:
        """Return the indices of the cells that the model was trained on."""

    def context(self, cells: np.ndarray) -> CellContext:
        """Return what the decoder reads beside the latent point, for cells of the model's data."""

    def encode(self, cells: np.ndarray | None = None, adata: AnnData | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the approximate posterior, ``(n_cells, n_latent)`` each."""

    def encode_library(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the posterior of a latent log library size, ``(n_cells,)`` each."""

    def library_prior(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the prior of the log library size of each cell, ``(n_cells,)`` each."""

    def prior(self, context: CellContext, rng: np.random.Generator) -> np.ndarray:
        """Draw latent points from the prior, ``(n_cells, n_latent)``."""

    def draw_latent(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw latent points from their posterior, in the space that the decoder reads."""

    def transform_latent(self, z: np.ndarray) -> np.ndarray:
        """Bring draws from the posterior into the space that the decoder reads."""

    def decode(self, z: np.ndarray, context: CellContext) -> dict[str, np.ndarray]:
        """Parameters of the likelihood, ``(n_cells, n_genes)`` each; see `likelihood_parameters`."""

    def on(self, adata: AnnData) -> Adapter:
        """Return the adapter for other cells."""

    @property
    def matrix(self) -> Any:
        """The data that the encoder reads, ``(n_cells, n_genes)``."""

    def encoder_network(self) -> EncoderNetwork:
        """Return the encoder in two parts, in evaluation mode."""

    def class_logits(self, z: torch.Tensor) -> torch.Tensor:
        """Logits of the labels, ``(n_cells, n_labels)``; TypeError without a classifier."""

    def decoded_mean(self, z: torch.Tensor, context: CellContext) -> torch.Tensor:
        """Mean of the likelihood with its gradient, ``(n_cells, n_genes)``."""

    def elbo(
        self, x: torch.Tensor, posterior: tuple[torch.Tensor, torch.Tensor], context: CellContext, noise: torch.Tensor
    ) -> torch.Tensor:
        """Evidence lower bound of each cell with its gradient, ``(n_cells,)``, averaged over given noise."""
