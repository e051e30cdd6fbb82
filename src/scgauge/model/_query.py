"""Checks of new data for a trained model, and what stays frozen when new batches are mapped onto it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from scgauge.nn import CovariateLinear

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from torch import Tensor, nn


def categories_of(registry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the known categories of each categorical covariate of a registry, the batch first, by ``obs`` column."""
    fields = registry["field_registries"]
    batch = fields[REGISTRY_KEYS.BATCH_KEY]["state_registry"]
    known = {str(batch["original_key"]): np.asarray(batch["categorical_mapping"])}
    covariates = fields.get(REGISTRY_KEYS.CAT_COVS_KEY, {}).get("state_registry") or {}
    for key in covariates.get("field_keys", ()):
        known[str(key)] = np.asarray(covariates["mappings"][key])
    return known


def _some(names: pd.Index) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown}, ..."


def check_genes(adata: AnnData, genes: Sequence[str], *, model: str | None) -> None:
    """Raise ValueError unless `adata` has the genes of the model, in their order; `model` can map queries, if named."""
    wanted = pd.Index(np.asarray(genes).astype(str))
    found = pd.Index(adata.var_names.astype(str))
    if found.equals(wanted):
        return
    missing, extra = wanted.difference(found, sort=False), found.difference(wanted, sort=False)
    if len(missing):
        message = (
            f"The data have {len(found)} genes and lack {len(missing)} of the {len(wanted)} genes of the model, for "
            f"example {_some(missing)}. Genes must be the same and in the same order. "
        )
        if model is not None:
            message += f"Run: {model}.prepare_query_anndata(adata, model), which fills missing genes with zeros."
        raise ValueError(message)
    what = f"{len(extra)} further genes, for example {_some(extra)}" if len(extra) else "another order"
    message = f"The data have the genes of the model with {what}. Run: adata = adata[:, model.get_var_names()].copy()"
    raise ValueError(message)


def check_categories(adata: AnnData, registry: Mapping[str, Any], *, model: str) -> None:
    """Raise ValueError if a covariate has a category that the model has not seen, KeyError if it is missing."""
    for key, known in categories_of(registry).items():
        if key.startswith("_scvi"):  # no such covariate was registered
            continue
        if key not in adata.obs:
            message = f"Did not find {key!r} in adata.obs, which the model was set up with."
            raise KeyError(message)
        unseen = sorted(set(adata.obs[key].astype(str)) - set(known.astype(str)))
        if unseen:
            message = (
                f"adata.obs[{key!r}] has the categories {unseen}, which the model has not seen; it knows "
                f"{known.astype(str).tolist()}. Run: query = {model}.load_query_data(adata, model), and train it."
            )
            raise ValueError(message)


def keep_known_rows(parameter: nn.Parameter, n_known: int) -> None:
    """Let a table of category effects learn its new rows while the first `n_known` stay as they are."""

    def mask(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[:n_known] = 0
        return gradient

    if len(parameter) > n_known:
        parameter.requires_grad = True
        parameter.register_hook(mask)


def unfreeze_new_categories(module: nn.Module, n_known: Sequence[int]) -> None:
    """Make the effects of new categories trainable in every layer of a frozen module.

    Parameters
    ----------
    module
        Module whose parameters are frozen.
    n_known
        Number of categories that the reference knew, for the batch and each categorical covariate.
    """
    for layer in module.modules():
        if isinstance(layer, CovariateLinear):
            for effect, known in zip(layer.effects.children(), n_known, strict=False):
                keep_known_rows(effect.get_parameter("weight"), known)
