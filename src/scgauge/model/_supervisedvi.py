from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import nn

from scgauge._core.adapter import VAEAdapter, register_adapter
from scgauge._core.checks import check_obsm_key
from scgauge.model._countvi import CountVI
from scgauge.train import CellLoader, CellStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from scgauge.module import Dispersion
    from scgauge.nn import GeneLikelihood

#: Cells in a minibatch and learning rate while the encoder learns the coordinates.
_BATCH, _LEARNING_RATE = 128, 1e-3
#: Momentum of the batch norm of scvi-tools.
_MOMENTUM = 0.01
#: Name of the coordinates among the fields of a minibatch.
_COORDINATES = "coordinates"


class SupervisedVI(CountVI):
    r"""Supervised autoencoder: makes a given embedding decodable, so that points in a picture become cells.

    Training has two parts :cite:p:`Hackenberg25`. First the encoder learns the coordinates of the cells in an
    embedding, for example a UMAP, by least squares. Then its means are frozen, and the variances of the approximate
    posterior and the decoder are trained by the ELBO as in :class:`CountVI`. The latent space is the embedding, centred
    and divided by one common scale, so that angles and ratios of lengths stay; ``basis_center_`` and ``basis_scale_``
    lead back.
    Everything that works on a :class:`CountVI` works here, first of all :func:`scgauge.tl.transform_latent`.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`, with the embedding.
    basis
        Key in ``adata.obsm`` of the embedding.
    n_latent
        Dimensions of the embedding.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of encoder and decoder.
    dropout_rate
        Dropout in the encoder while it learns the coordinates.
    dispersion
        Dispersion of each gene, of each gene and batch, or of each gene and cell.
    gene_likelihood
        As for :class:`CountVI`.

    Raises
    ------
    ValueError
        If the data do not fit the likelihood or an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.tl.embed(adata, methods="tsne", n_pcs=10, rng=0, progress=False)
    >>> scgauge.model.SupervisedVI.setup_anndata(adata)
    >>> model = scgauge.model.SupervisedVI(adata, basis="X_embed_tsne")
    >>> model.train(max_epochs=1, n_epochs_encoder=2, enable_progress_bar=False)
    >>> model.get_basis().shape
    (60, 2)
    """

    _takes_annbatch = False

    def __init__(
        self,
        adata: AnnData | None = None,
        *,
        basis: str,
        n_latent: int = 2,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Dispersion = "gene",
        gene_likelihood: GeneLikelihood = "zinb",
    ) -> None:
        super(CountVI, self).__init__(adata)
        self.basis, self._dropout_rate = basis, dropout_rate
        network: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_latent": n_latent,
            "n_layers": n_layers,
            "dropout_rate": dropout_rate,
            "dispersion": dispersion,
            "gene_likelihood": gene_likelihood,
            "use_observed_lib_size": True,
            "encode_covariates": False,
            "deeply_inject_covariates": True,
            "use_batch_norm": "both",
            "use_layer_norm": "none",
        }
        self._build(adata, network)
        self.init_params_ = self._get_init_params(locals())

    def train(self, *args: Any, n_epochs_encoder: int = 200, **kwargs: Any) -> Any:
        """Train the encoder on the embedding, then variances and decoder on the cells.

        Parameters
        ----------
        *args
            As for :meth:`CountVI.train`, about the second part: ``max_epochs``, ...
        n_epochs_encoder
            Passes of the first part over the cells. The coordinates of a model that is trained again are learnt anew.
        **kwargs
            As for :meth:`CountVI.train`, about the second part.

        Returns
        -------
        What the training runner of scvi-tools returns.

        Raises
        ------
        KeyError
            If the embedding is not in the cells.
        ValueError
            If it has another number of dimensions than the latent space or is constant, or ``n_epochs_encoder`` is less
            than 1.
        """
        points = check_obsm_key(self.adata, self.basis, argument="basis")
        if points.shape[1] != self.module.n_latent:
            message = f"adata.obsm[{self.basis!r}] has {points.shape[1]} columns; n_latent={self.module.n_latent}."
            raise ValueError(message)
        if n_epochs_encoder < 1:
            message = f"n_epochs_encoder={n_epochs_encoder} was given; at least 1 is needed."
            raise ValueError(message)
        center = points.mean(axis=0)
        scale = float(np.sqrt(np.square(points - center).sum(axis=1).mean() / points.shape[1]))
        if scale == 0:
            message = f"adata.obsm[{self.basis!r}] has all cells at one place; there is nothing to learn."
            raise ValueError(message)
        self.basis_center_, self.basis_scale_ = center.tolist(), scale
        self._fit_encoder((points - center) / scale, n_epochs_encoder)
        result = super().train(*args, **kwargs)
        self.train_params_["n_epochs_encoder"] = n_epochs_encoder
        return result

    def _fit_encoder(self, target: np.ndarray, n_epochs: int) -> None:
        """Learn the coordinates by least squares, then freeze everything that the means depend on."""
        encoder = self.module.z_encoder
        parts = (encoder.layers, encoder.mean)
        for part in parts:
            part.requires_grad_(True)  # noqa: FBT003 - torch's signature
        norms = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm1d)]
        self._set_layers(norms, momentum=_MOMENTUM, dropout=self._dropout_rate)
        store = CellStore(self.adata_manager, keep_sparse=True)
        store.fields[_COORDINATES] = torch.as_tensor(target, dtype=torch.float32)
        optimizer = torch.optim.AdamW([p for part in parts for p in part.parameters()], lr=_LEARNING_RATE)
        self.module.train()
        for _ in range(n_epochs):
            for coordinates, mean in self._encode_batches(store):
                loss = nn.functional.mse_loss(mean, coordinates)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        # The statistics of the batch norm follow slowly; one more pass takes those of the weights as they are now.
        self._set_layers(norms, momentum=None, dropout=0.0)
        with torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
            for _ in self._encode_batches(store):
                pass
        self._set_layers(norms, momentum=0.0, dropout=0.0)  # the plan keeps norms without momentum as they are
        for part in parts:
            part.requires_grad_(False)  # noqa: FBT003
            part.zero_grad()

    def _set_layers(self, norms: list[nn.BatchNorm1d], *, momentum: float | None, dropout: float) -> None:
        for norm in norms:
            norm.momentum = momentum
        for layer in self.module.z_encoder.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = dropout

    def _encode_batches(self, store: CellStore) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Coordinates of minibatches in random order, each cell once, and the means that the encoder gives them."""
        indices = np.arange(store.n_cells)
        # Batch norm needs two cells; a lone last one, another each time, is left out.
        alone = store.n_cells % _BATCH == 1
        for batch in CellLoader(store, indices, batch_size=_BATCH, shuffle=True, drop_last=alone):
            x = batch[REGISTRY_KEYS.X_KEY]
            yield batch[_COORDINATES], self.module.z_encoder(self.module.transform_input(x)).loc

    def get_basis(self, adata: AnnData | None = None) -> np.ndarray:
        """Return where the encoder places cells, in the units of the embedding.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``; new cells get a place in the embedding.

        Returns
        -------
        Coordinates, ``(n_cells, n_latent)``.
        """
        latent = np.asarray(self.get_latent_representation(adata), dtype=np.float64)
        return latent * self.basis_scale_ + np.asarray(self.basis_center_)


register_adapter(SupervisedVI, VAEAdapter)
