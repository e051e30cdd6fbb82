"""Copies the weights of a scvi-tools VAE into a CountVAE, so that both can be asked the same question."""

from __future__ import annotations

import torch
from torch import nn


def _copy_stack(source: nn.Module, target: nn.Module) -> None:
    for index, sequence in enumerate(source.fc_layers):
        linear, own = sequence[0], target.linears[index]
        own.linear.weight.copy_(linear.weight[:, : own.linear.in_features])
        own.linear.bias.copy_(linear.bias)
        column = own.linear.in_features
        for effect in own.effects:
            n_categories = effect.num_embeddings
            if n_categories == 1:  # scvi-tools has no column for a covariate with one category
                effect.weight.zero_()
                continue
            effect.weight.copy_(linear.weight[:, column : column + n_categories].T)
            column += n_categories
        assert column == linear.weight.shape[1]
        theirs = [layer for layer in sequence if isinstance(layer, nn.BatchNorm1d)]
        ours = [layer for layer in target.rests[index] if isinstance(layer, nn.BatchNorm1d)]
        for one, other in zip(theirs, ours, strict=True):
            other.load_state_dict(one.state_dict())


def copy_encoder(source: nn.Module, target: nn.Module) -> None:
    """Copy an encoder of scvi-tools."""
    _copy_stack(source.encoder, target.layers)
    target.mean.load_state_dict(source.mean_encoder.state_dict())
    target.log_variance.load_state_dict(source.var_encoder.state_dict())


@torch.no_grad()
def copy_weights(vae: nn.Module, count_vae: nn.Module) -> None:
    """Copy all weights that `count_vae` has from `vae`."""
    copy_encoder(vae.z_encoder, count_vae.z_encoder)
    if count_vae.l_encoder is not None:
        copy_encoder(vae.l_encoder, count_vae.l_encoder)
    _copy_stack(vae.decoder.px_decoder, count_vae.decoder.layers)
    count_vae.decoder.scale.load_state_dict(vae.decoder.px_scale_decoder[0].state_dict())
    if count_vae.decoder.log_dispersion is not None:
        count_vae.decoder.log_dispersion.load_state_dict(vae.decoder.px_r_decoder.state_dict())
    if count_vae.decoder.zi_logits is not None:
        count_vae.decoder.zi_logits.load_state_dict(vae.decoder.px_dropout_decoder.state_dict())
    if count_vae.px_r is not None:
        count_vae.px_r.copy_(vae.px_r.t())
