"""What an AnnData holds, and what a process has set globally, in forms that can be compared."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import random
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import scvi
import torch
from anndata import AnnData
from scipy import sparse

SLOTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")


def keys(adata: AnnData) -> set[tuple[str, str]]:
    """All keys of an AnnData, as (slot, key)."""
    # AnnData 0.13 lists X under the key None of layers.
    return {(slot, key) for slot in SLOTS for key in getattr(adata, slot) if key is not None}


def contents(value: Any) -> Any:
    """Turn a value into plain data that is equal exactly if the value is, and that shares no memory with it."""
    if isinstance(value, AnnData):
        slots = {slot: contents({k: v for k, v in getattr(value, slot).items() if k is not None}) for slot in SLOTS}
        names = {"obs_names": list(value.obs_names), "var_names": list(value.var_names)}
        return {"X": contents(value.X), **names, **slots}
    if dataclasses.is_dataclass(value):
        return contents(vars(value))
    if isinstance(value, pd.DataFrame):
        return {"index": contents(value.index), **{str(name): contents(value[name]) for name in value.columns}}
    if isinstance(value, pd.Series | pd.Index):
        return contents(np.asarray(value.astype(object)) if value.dtype.kind not in "biuf" else value.to_numpy())
    if hasattr(value, "to_memory"):  # sparse matrix on disk
        value = value.to_memory()
    if sparse.issparse(value):
        return contents(value.toarray())
    if isinstance(value, torch.Tensor):
        return contents(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return [contents(item) for item in value.tolist()] if value.ndim else contents(value.item())
    if hasattr(value, "items"):
        return {key: contents(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [contents(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    return copy.copy(value)


def process_state() -> dict[str, Any]:
    """Global state that no function may leave changed."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy state is what must not change
    return {
        "random": random.getstate(),
        "numpy": (*numpy_state[:1], numpy_state[1].tolist(), *numpy_state[2:]),
        "torch": torch.get_rng_state().tolist(),
        "torch dtype": torch.get_default_dtype(),
        "scvi seed": scvi.settings.seed,
        "warning filters": list(warnings.filters),
        "logging handlers": list(logging.getLogger().handlers),
        "environment": dict(os.environ),
        "matplotlib": dict(mpl.rcParams),
        "numpy errors": np.geterr(),
    }
