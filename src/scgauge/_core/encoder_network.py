"""Encoders taken apart behind their first layer, the only one whose width grows with the number of genes.

``rest(first(inputs, covariates), covariates)`` is the posterior mean of the latent points. Whatever is a function of it
can be followed along a path in the few hidden units instead of all genes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from scvi import REGISTRY_KEYS
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from scgauge._core.model_protocol import CellContext


class EncoderNetwork(Protocol):
    """An encoder in two parts."""

    reads_log: bool

    @property
    def weight(self) -> Tensor:
        """Weights of the first layer that belong to genes, ``(n_hidden, n_genes)``."""

    def inputs(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of the data."""

    def covariates(self, context: CellContext) -> list[Tensor]:
        """Return what the encoder reads beside the genes; the first axis of each tensor is that of cells."""

    def first(self, inputs: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply the first layer: ``(n_cells, n_genes)`` to ``(n_cells, n_hidden)``."""

    def rest(self, hidden: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means ``(n_cells, n_latent)``."""

    def posterior(self, hidden: Tensor, covariates: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means and variances, ``(n_cells, n_latent)`` each."""


def _long(codes: Any, module: Any) -> Tensor:
    return torch.as_tensor(codes, dtype=torch.long, device=module.device)


class CountEncoder:
    """The encoder of scgauge's modules."""

    def __init__(self, module: Any) -> None:
        self.module, self.encoder = module, module.z_encoder
        self.reads_log = module.spec.counts

    @property
    def weight(self) -> Tensor:
        """Weights of the first layer that belong to genes, ``(n_hidden, n_genes)``."""
        return self.encoder.layers.linears[0].linear.weight[:, : self.module.n_input]

    def inputs(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of the data."""
        return self.module.transform_input(x)

    def covariates(self, context: CellContext) -> list[Tensor]:
        """Return the continuous covariates and the codes of each categorical one."""
        continuous = torch.empty((len(context.batch), 0), device=self.module.device)
        if not self.module.encode_covariates:
            return [continuous]
        if context.cont_covs is not None:
            continuous = torch.as_tensor(context.cont_covs, dtype=torch.float32, device=self.module.device)
        codes = [_long(context.batch, self.module)]
        if context.cat_covs is not None:
            codes += list(_long(context.cat_covs, self.module).T)
        return [continuous, *codes]

    def first(self, inputs: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply the first layer: ``(n_cells, n_genes)`` to ``(n_cells, n_hidden)``."""
        continuous, *codes = covariates
        return self.encoder.layers.linears[0](torch.cat((inputs, continuous), dim=1), codes)

    def rest(self, hidden: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means ``(n_cells, n_latent)``."""
        return self.encoder.mean(self.encoder.layers.after_first(hidden, covariates[1:]))

    def posterior(self, hidden: Tensor, covariates: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means and variances, ``(n_cells, n_latent)`` each."""
        return self.encoder.moments(self.encoder.layers.after_first(hidden, covariates[1:]))


class ScviEncoder:
    """The encoder of scvi-tools' VAE, LDVAE and SCANVAE."""

    def __init__(self, module: Any) -> None:
        self.module, self.encoder = module, module.z_encoder
        self.layers = module.z_encoder.encoder
        self.linear = next(part for part in self.layers.fc_layers[0] if isinstance(part, nn.Linear))
        self.reads_log = bool(module.log_variational)

    @property
    def weight(self) -> Tensor:
        """Weights of the first layer that belong to genes, ``(n_hidden, n_genes)``."""
        return self.linear.weight[:, : self.module.n_input]

    def inputs(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of the data."""
        return torch.log1p(x) if self.reads_log else x

    def covariates(self, context: CellContext) -> list[Tensor]:
        """Return what stands beside the genes in the input, and the one-hot codes that other layers read, too."""
        module, n_cells = self.module, len(context.batch)
        beside, codes = [torch.empty((n_cells, 0), device=module.device)], []
        batch = _long(context.batch[:, None], module)
        if module.encode_covariates:
            if context.cont_covs is not None:
                beside.append(torch.as_tensor(context.cont_covs, dtype=torch.float32, device=module.device))
            if getattr(module, "batch_representation", "one-hot") == "embedding":
                beside.append(module.compute_embedding(REGISTRY_KEYS.BATCH_KEY, batch).detach())
            else:
                codes.append(batch)
            if context.cat_covs is not None:
                codes += list(_long(context.cat_covs, module).split(1, dim=1))
        one_hot = [torch.empty((n_cells, 0), device=module.device)]
        for code, n_categories in zip(codes, self.layers.n_cat_list, strict=False):
            if n_categories > 1:
                one_hot.append(nn.functional.one_hot(code.squeeze(1), n_categories).float())
        return [torch.cat(beside, dim=1), torch.cat(one_hot, dim=1)]

    def first(self, inputs: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply the first layer: ``(n_cells, n_genes)`` to ``(n_cells, n_hidden)``."""
        return self.linear(torch.cat((inputs, *covariates), dim=1))

    def _last(self, hidden: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply all hidden layers behind the first linear one."""
        for index, layer in enumerate(self.layers.fc_layers):
            for part in layer:
                if part is None or part is self.linear:
                    continue
                if isinstance(part, nn.Linear) and self.layers.inject_into_layer(index):
                    hidden = torch.cat((hidden, covariates[1]), dim=1)
                hidden = part(hidden)
        return hidden

    def rest(self, hidden: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means ``(n_cells, n_latent)``."""
        return self.encoder.mean_encoder(self._last(hidden, covariates))

    def posterior(self, hidden: Tensor, covariates: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Apply all that follows: ``(n_cells, n_hidden)`` to means and variances, ``(n_cells, n_latent)`` each."""
        last = self._last(hidden, covariates)
        variance = self.encoder.var_activation(self.encoder.var_encoder(last)) + self.encoder.var_eps
        return self.encoder.mean_encoder(last), variance


class StackEncoder:
    """The encoder of scgauge's autoencoders, which has no covariates."""

    def __init__(self, module: Any) -> None:
        self.module, self.encoder = module, module.z_encoder
        self.reads_log = module.spec.counts

    @property
    def weight(self) -> Tensor:
        """Weights of the first layer, ``(n_hidden, n_genes)``."""
        return self.encoder.weights()[0]

    def inputs(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of the data."""
        return self.module.transform_input(x)

    def covariates(self, context: CellContext) -> list[Tensor]:
        """Return nothing for each cell."""
        return [torch.empty((len(context.batch), 0), device=self.module.device)]

    def first(self, inputs: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply the first layer: ``(n_cells, n_genes)`` to ``(n_cells, n_hidden)``."""
        return self.encoder.linears[0](inputs - self.module.input_mean)

    def rest(self, hidden: Tensor, covariates: list[Tensor]) -> Tensor:
        """Apply all that follows: ``(n_cells, n_hidden)`` to latent points ``(n_cells, n_latent)``."""
        return self.encoder.after_first(hidden)

    def posterior(self, hidden: Tensor, covariates: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Raise TypeError: an autoencoder encodes a cell as a point."""
        message = (
            "An autoencoder has no posterior and no evidence lower bound. Pass target='latent' or {'gene': name}, or a "
            "CountVI."
        )
        raise TypeError(message)


def encoder_network(module: Any) -> EncoderNetwork:
    """Take the encoder of a module apart; TypeError of a model with several."""
    if hasattr(module.z_encoder, "encoders"):
        message = (
            "The model has an encoder for each instrument, and which ones a visit takes cannot be attributed to items. "
            "Train a model on the items of one instrument: adata[visits, items].copy(), without instrument_key."
        )
        raise TypeError(message)
    if hasattr(module.z_encoder, "after_first"):
        return StackEncoder(module)
    return ScviEncoder(module) if hasattr(module.z_encoder, "mean_encoder") else CountEncoder(module)
