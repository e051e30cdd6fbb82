from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS
from scvi.model.base import ArchesMixin, BaseMinifiedModeModelClass, BaseModelClass, UnsupervisedTrainingMixin, VAEMixin

from scgauge._core.adapter import adapt
from scgauge._core.model_protocol import CellContext
from scgauge.metrics import prior_gap
from scgauge.model._expression import ExpressionMixin
from scgauge.model._query import categories_of, keep_known_rows, unfreeze_new_categories
from scgauge.model._registered_cells import RegisteredCells, check_points
from scgauge.train import CellSplitter, CountTrainingPlan, cell_loader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import ArrayLike

#: A pass of the encoder costs the same for 128 cells as for several hundred.
_CELLS_ENCODED_AT_ONCE = 1024


class CountModel(
    RegisteredCells, ExpressionMixin, VAEMixin, ArchesMixin, UnsupervisedTrainingMixin, BaseMinifiedModeModelClass
):
    """What the count models of scgauge share: checks of data, training, query mapping, decoding.

    Subclasses set `_module_cls` and build their module in ``__init__``.
    """

    _training_plan_cls = CountTrainingPlan
    _data_splitter_cls = CellSplitter
    _data_loader_cls = staticmethod(cell_loader)
    _LATENT_QZM_KEY = "scgauge_latent_qzm"
    _LATENT_QZV_KEY = "scgauge_latent_qzv"

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData | None = None,
        reference_model: str | BaseModelClass | None = None,
        *,
        unfrozen: bool = False,
        freeze_expression: bool = True,
        freeze_decoder_first_layer: bool = True,
        freeze_batchnorm_encoder: bool = True,
        freeze_batchnorm_decoder: bool = True,
        **kwargs: Any,
    ) -> BaseModelClass:
        """Map cells of new batches onto a trained reference model (scArches :cite:p:`Lotfollahi21`).

        Only the effects of batches and categories that the reference has not seen are trained, with dispersions of
        new batches where there are any; the effects of known ones and all weights stay as they are, so that the
        reference cells keep their latent points and their decoded expression exactly.

        Parameters
        ----------
        adata
            Query cells, with the genes of the reference in its order (see :meth:`prepare_query_anndata`).
        reference_model
            Trained model or the folder of a saved one.
        unfrozen
            Whether to train everything.
        freeze_expression
            Whether the effects of genes in the first encoder layer stay fixed.
        freeze_decoder_first_layer
            Whether the effects of latent dimensions in the first decoder layer stay fixed.
        freeze_batchnorm_encoder, freeze_batchnorm_decoder
            Whether batch norm stays fixed. (scvi-tools leaves that of the decoder free, which changes the decoded
            expression of reference cells.)
        **kwargs
            Passed to :meth:`scvi.model.base.ArchesMixin.load_query_data`.

        Returns
        -------
        Model of the query, to be trained.
        """
        model = super().load_query_data(
            adata,
            reference_model,
            unfrozen=unfrozen,
            freeze_expression=freeze_expression,
            freeze_decoder_first_layer=freeze_decoder_first_layer,
            freeze_batchnorm_encoder=freeze_batchnorm_encoder,
            freeze_batchnorm_decoder=freeze_batchnorm_decoder,
            **kwargs,
        )
        if unfrozen:
            return model
        is_saved = isinstance(reference_model, str)
        registry = cls.load_registry(reference_model) if is_saved else getattr(reference_model, "registry_", {})
        n_known = [len(categories) for categories in categories_of(registry).values()]
        module = model.module
        unfreeze_new_categories(module, n_known)
        if module.px_r is not None and module.dispersion == "gene-batch":
            keep_known_rows(module.px_r, n_known[0])
        free = {
            "z_encoder.layers.linears.0.linear": not freeze_expression,
            "decoder.layers.linears.0.linear": not freeze_decoder_first_layer,
            "decoder.scale.regression.linear": not freeze_decoder_first_layer,
            "z_encoder.layers.rests": not freeze_batchnorm_encoder,
            "decoder.layers.rests": not freeze_batchnorm_decoder,
            "decoder.scale.norm": not freeze_batchnorm_decoder,
        }
        for name, parameter in module.named_parameters():
            if any(name.startswith(prefix) and is_free for prefix, is_free in free.items()):
                parameter.requires_grad = True
        if not any(parameter.requires_grad for parameter in module.parameters()):
            # Nothing of the reference needs to change for cells of known batches.
            model.is_trained_ = True
        return model

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: ArrayLike | None = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the latent point of each cell: mean of the approximate posterior, or a draw from it.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        give_mean
            Whether to return the mean, else a draw.
        mc_samples
            Not read: the mean is known in closed form.
        batch_size
            Cells encoded at once, for time and memory alone; 1024 if ``None``.
        **kwargs
            Passed to :meth:`scvi.model.base.VAEMixin.get_latent_representation`; ``return_dist``, ``dataloader``.

        Returns
        -------
        Latent points, ``(n_cells, n_latent)``; with ``return_dist=True`` means and variances.
        """
        if kwargs.get("dataloader") is None:
            kwargs["keep_sparse"] = True
            batch_size = batch_size or _CELLS_ENCODED_AT_ONCE
        return super().get_latent_representation(adata, indices, give_mean, mc_samples, batch_size, **kwargs)

    def get_marginal_ll(
        self, adata: AnnData | None = None, *, n_mc_samples: int = 1000, return_mean: bool = True, **kwargs: Any
    ) -> Any:
        r"""Estimate :math:`\log p(x)` of each cell by importance sampling, or its mean over cells.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        n_mc_samples
            Draws of the latent point of each cell.
        return_mean
            Whether to average over cells. (scvi-tools averages over minibatches, whatever their sizes.)
        **kwargs
            Passed to :meth:`scvi.model.base.VAEMixin.get_marginal_ll`.

        Returns
        -------
        Mean, or a tensor ``(n_cells,)``, in nats.

        Raises
        ------
        ValueError
            If no draws are asked for.
        """
        if n_mc_samples < 1:
            message = f"n_mc_samples={n_mc_samples} was given; at least 1 is needed."
            raise ValueError(message)
        values = super().get_marginal_ll(adata, n_mc_samples=n_mc_samples, return_mean=False, **kwargs)
        return values.mean().item() if return_mean else values

    def get_latent_prior_gap(
        self, adata: AnnData | None = None, *, indices: ArrayLike | None = None, n_samples: int = 1000
    ) -> pd.Series:
        """Measure how far the latent points of the cells are from the prior that synthetic cells are drawn from.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells to use, all if ``None``. A subset is biased upward.
        n_samples
            Draws from the aggregate posterior.

        Returns
        -------
        The fields of :class:`scgauge.metrics.PriorGap`: ``kl`` with ``kl_se``, ``kl_gaussian``, ``mean_kl``,
        ``mutual_information`` (all in nats) and ``energy_distance``.
        """
        mean, variance = self.get_latent_representation(adata, indices=indices, return_dist=True)
        # The draws follow scvi.settings.seed as everything else in a model does.
        seed = int(torch.randint(2**31, ()))
        return pd.Series(asdict(prior_gap(mean, variance, n_samples=n_samples, rng=seed)), name="latent_prior_gap")

    def decode(
        self,
        z: ArrayLike,
        *,
        library_size: ArrayLike | None = None,
        batch: ArrayLike | str | None = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Decode latent points to the expectation of the data.

        Parameters
        ----------
        z
            Latent points, ``(n_points, n_latent)``.
        library_size
            Library size (or size factor, in a model with size factors) of each point or of all; the expectation sums
            to it. Needed for counts; not read by ``"bernoulli"`` and ``"normal"``.
        batch
            Batch of each point or of all; may be left out if there is one batch.
        covariates
            For each covariate that the model was set up with, by its ``obs`` column, the value of each point or of
            all.

        Returns
        -------
        Expected counts, probabilities or means, ``(n_points, n_genes)``.

        Raises
        ------
        ValueError
            If `z` has another number of dimensions than the latent space, or what the decoder reads is missing or
            not known to it.
        """
        points, exposure = check_points(z, library_size, n_latent=self.module.n_latent, counts=self.module.spec.counts)
        n_points = len(points)
        codes = self._covariate_codes(n_points, batch, covariates or {})
        return adapt(self).decode(points, CellContext(exposure=exposure, labels=np.zeros(n_points, int), **codes))[
            "mean"
        ]

    def _covariate_codes(
        self, n_points: int, batch: ArrayLike | str | None, covariates: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Turn names of batches and categories into the codes that the decoder reads."""
        known = list(categories_of(self.registry_).items())
        values = {known[0][0]: batch} | dict(covariates)
        if batch is None and len(known[0][1]) == 1:
            values[known[0][0]] = known[0][1][0]
        codes = []
        for key, categories in known:
            if values.get(key) is None:
                argument = "`batch`" if key == known[0][0] else f"`covariates[{key!r}]`"
                message = f"{argument} is missing; choose from {categories.astype(str).tolist()}."
                raise ValueError(message)
            wanted = np.broadcast_to(np.asarray(values[key]).astype(str), n_points)
            code = pd.Index(categories.astype(str)).get_indexer(wanted)
            if (code < 0).any():
                found = wanted[code < 0][0]
                message = f"{str(found)!r} is not a category of {key!r}; choose from {categories.astype(str).tolist()}."
                raise ValueError(message)
            codes.append(code)
        result = {"batch": codes[0]}
        if len(codes) > 1:
            result["cat_covs"] = np.column_stack(codes[1:])
        continuous = self.registry_["field_registries"].get(REGISTRY_KEYS.CONT_COVS_KEY, {}).get("state_registry") or {}
        columns = list(continuous.get("columns", ()))
        missing = [key for key in columns if covariates.get(key) is None]
        if missing:
            message = f"The continuous covariates {missing} are missing in `covariates`."
            raise ValueError(message)
        if columns:
            result["cont_covs"] = np.column_stack(
                [np.broadcast_to(np.asarray(covariates[key], dtype=float), n_points) for key in columns]
            )
        return result
