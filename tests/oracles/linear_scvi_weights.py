"""Copies the weights of scvi-tools' LDVAE into ours, so that both can be asked the same question."""

from __future__ import annotations

import torch
from oracles.scvi_weights import copy_encoder
from torch import nn


def _copy_head(source: nn.Module, target: nn.Module) -> None:
    sequence = source.fc_layers[0]
    weight, own = sequence[0].weight, target.regression
    n_in = own.linear.in_features
    own.linear.weight.copy_(weight[:, :n_in])
    (table,) = own.effects
    if weight.shape[1] > n_in:
        table.weight.copy_(weight[:, n_in:].T)
    norms = [layer for layer in sequence if isinstance(layer, nn.BatchNorm1d)]
    if norms:
        target.norm.load_state_dict(norms[0].state_dict())


@torch.no_grad()
def copy_linear_weights(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy all weights that `ours` has from `theirs`."""
    copy_encoder(theirs.z_encoder, ours.z_encoder)
    if ours.l_encoder is not None:
        copy_encoder(theirs.l_encoder, ours.l_encoder)
    _copy_head(theirs.decoder.factor_regressor, ours.decoder.scale)
    if ours.decoder.zi_logits is not None:
        _copy_head(theirs.decoder.px_dropout_decoder, ours.decoder.zi_logits)
    if ours.px_r is not None:
        ours.px_r.copy_(theirs.px_r.t())
