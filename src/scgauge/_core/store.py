"""Writing results: everything is checked first, then written, so that a failed call changes nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core.stored_rows import is_stored

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Slots of an AnnData and the axis lengths that their values must have.
_AXES = {"obs": (0,), "var": (1,), "obsm": (0,), "varm": (1,), "obsp": (0, 0), "varp": (1, 1), "layers": (0, 1)}


def plain(value: Any) -> Any:
    """Turn a parameter into plain data that h5ad and zarr keep: tuples and sets become lists, paths strings."""
    if isinstance(value, pd.DataFrame | np.ndarray | str | bool | int | float) or value is None:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    if isinstance(value, np.random.Generator):
        return "Generator"
    return str(value)


def _check_uns(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or "/" in key:
                message = f"{path} has the key {key!r}; keys of `uns` must be strings without '/'."
                raise ValueError(message)
            _check_uns(item, f"{path}[{key!r}]")
    elif isinstance(value, pd.DataFrame) and not all(isinstance(name, str) for name in value.columns):
        message = f"{path} is a table with column names that are not strings: {list(value.columns)}."
        raise ValueError(message)


def store(adata: AnnData, *, copy: bool, **slots: Mapping[str, Any]) -> AnnData | None:
    """Write results into an AnnData, all or nothing.

    Parameters
    ----------
    adata
        Where to write. A view is turned into a real object by AnnData itself.
    copy
        Whether to write into a copy and return it.
    **slots
        ``obs=``, ``var=``, ``obsm=``, ``varm=``, ``obsp=``, ``varp=``, ``layers=`` and ``uns=``, each a mapping from
        key to value.

    Returns
    -------
    The changed copy if ``copy``, else ``None``.

    Raises
    ------
    ValueError
        If a value does not fit its slot; nothing has been written then.
    """
    for slot, items in slots.items():
        for key, value in items.items():
            if "/" in key:
                message = f"The key {key!r} has a '/', which files of AnnData cannot keep; choose another `key_added`."
                raise ValueError(message)
            if slot == "uns":
                _check_uns(value, f"uns[{key!r}]")
                continue
            expected = tuple(adata.shape[axis] for axis in _AXES[slot])
            shape = value.shape if sparse.issparse(value) else np.shape(value)
            if tuple(shape[: len(expected)]) != expected:
                message = f"{slot}[{key!r}] needs the shape {expected}; found {tuple(shape)}."
                raise ValueError(message)
    target = _copy(adata) if copy else adata
    for slot, items in slots.items():
        container = getattr(target, slot)
        for key, value in items.items():
            container[key] = plain(value) if slot == "uns" else value
    return target if copy else None


def _copy(adata: AnnData) -> AnnData:
    """Copy everything but a matrix on disk, which is only ever read and is shared."""
    if adata.X is None or not is_stored(adata.X):
        return adata.copy()
    slots = {
        slot: {key: value.copy() for key, value in getattr(adata, slot).items() if key is not None}
        for slot in ("obsm", "varm", "obsp", "varp", "layers")
    }
    return AnnData(X=adata.X, obs=adata.obs.copy(), var=adata.var.copy(), uns=deepcopy(dict(adata.uns)), **slots)
