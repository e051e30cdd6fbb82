"""Faults of an AnnData: its matrices, names, columns, representations, shape and state."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from faults.fault import KINDS, VALUES, Fault, Refused, dense
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from anndata import AnnData


def _set_matrix(adata: AnnData, layer: str | None, value: Any) -> AnnData:
    try:
        if layer is None:
            adata.X = value
            kept = adata.X
        else:
            adata.layers[layer] = value
            kept = adata.layers[layer]
    except (ValueError, TypeError) as error:
        raise Refused(str(error)) from error
    if type(kept) is not type(value):  # AnnData has turned it into something that is tried anyway
        raise Refused(type(kept).__name__)
    return adata


def _matrix_of(adata: AnnData, layer: str | None) -> Any:
    return adata.X if layer is None else adata.layers[layer]


def _dask(x: np.ndarray) -> Any:
    if importlib.util.find_spec("dask") is None:
        raise Refused("dask is not installed")
    import dask.array

    return dask.array.from_array(x, chunks=(max(1, len(x) // 3), -1))


def _sparse_dask(x: np.ndarray) -> Any:
    return _dask(x).map_blocks(sparse.csr_matrix)


def _matrix_faults(layer: str | None) -> Iterator[Fault]:
    where = "X" if layer is None else f"layers[{layer!r}]"

    def kind(convert: Callable) -> Callable[[AnnData], AnnData]:
        return lambda adata: _set_matrix(adata, layer, convert(dense(_matrix_of(adata, layer))))

    def values(change: Callable) -> Callable[[AnnData], AnnData]:
        def apply(adata: AnnData) -> AnnData:
            old = _matrix_of(adata, layer)
            new = change(dense(old))
            return _set_matrix(adata, layer, sparse.csr_matrix(new) if new.dtype.kind == "f" else new)

        return apply

    for name, convert in {**KINDS, "dask": _dask, "sparse dask": _sparse_dask}.items():
        yield Fault(f"{where}: {name}", kind(convert), same=True)
    for name, change in VALUES.items():
        yield Fault(f"{where}: {name}", values(change))


def _column(key: str, change: Callable[[pd.Series], Any]) -> Callable[[AnnData], AnnData]:
    def apply(adata: AnnData) -> AnnData:
        try:
            adata.obs[key] = change(adata.obs[key])
        except (ValueError, TypeError) as error:
            raise Refused(str(error)) from error
        return adata

    return apply


def _unused(column: pd.Series) -> pd.Series:
    return column.astype("category").cat.add_categories(["never", "nie"])


def _first_missing(column: pd.Series) -> pd.Series:
    missing = np.arange(len(column)) == 0
    return column.astype("category").mask(missing) if column.dtype.kind == "O" else column.mask(missing)


def _text_columns(key: str) -> Iterator[Fault]:
    def renamed(names: Callable[[int], Any]) -> Callable[[pd.Series], pd.Series]:
        return lambda column: pd.Series(
            [names(code) for code in column.astype("category").cat.codes], index=column.index, dtype=object
        )

    same = {
        "unused categories": _unused,
        "object": lambda column: column.astype(object),
        "string dtype": lambda column: column.astype("string"),
        "ordered categories": lambda column: column.astype(pd.CategoricalDtype(sorted(set(column)), ordered=True)),
    }
    other = {
        "missing value": _first_missing,
        "all missing": lambda column: pd.Series(np.nan, index=column.index),
        "unicode, spaces and slashes": renamed(lambda code: ["α/β γ", "日本 語/x", "é", "", "a/b/c"][code % 5]),
        "empty names": renamed(lambda code: ["", " "][code % 2]),
        "numbers": renamed(lambda code: code),
        "numbers and text": renamed(lambda code: ["x", 1, 2.5, True][code % 4]),
        "nullable integers": lambda column: column.astype("category").cat.codes.astype("Int64"),
        "booleans": lambda column: column.astype("category").cat.codes == 0,
        "nullable booleans": lambda column: (column.astype("category").cat.codes == 0).astype("boolean"),
        "dates": lambda column: pd.to_datetime(column.astype("category").cat.codes, unit="D"),
        "one group": lambda column: pd.Categorical(["only"] * len(column)),
        "each cell a group": lambda column: [f"group {i}" for i in range(len(column))],
        "a group of one cell": lambda column: pd.Categorical(["lone"] + ["rest"] * (len(column) - 1)),
    }
    for name, change in same.items():
        yield Fault(f"obs[{key!r}]: {name}", _column(key, change), same=True)
    for name, change in other.items():
        yield Fault(f"obs[{key!r}]: {name}", _column(key, change))


def _number_columns(key: str) -> Iterator[Fault]:
    def put(value: Any) -> Callable[[pd.Series], pd.Series]:
        return lambda column: column.where(np.arange(len(column)) != 0, value)

    same = {
        "float32": lambda column: column.astype("float32"),
        "nullable floats": lambda column: column.astype("Float64"),
        "object": lambda column: column.astype(object),
    }
    other = {
        "NaN": put(np.nan),
        "nullable missing": lambda column: column.astype("Float64").mask(np.arange(len(column)) == 0),
        "infinite": put(np.inf),
        "negative": put(-1.0),
        "huge": put(1e30),
        "constant": lambda column: column * 0,
        "text": lambda column: column.astype(str),
        "categories": lambda column: column.astype("category"),
        "booleans": lambda column: column > 0,
        "dates": lambda column: pd.to_datetime(column, unit="D"),
    }
    for name, change in same.items():
        yield Fault(f"obs[{key!r}]: {name}", _column(key, change), same=True)
    for name, change in other.items():
        yield Fault(f"obs[{key!r}]: {name}", _column(key, change))


def _column_faults(adata: AnnData, key: str) -> Iterator[Fault]:
    yield Fault(f"obs[{key!r}]: not there", lambda cells: _without(cells, "obs", key))
    yield from (_number_columns if adata.obs[key].dtype.kind in "iuf" else _text_columns)(key)


def _without(adata: AnnData, slot: str, key: str) -> AnnData:
    del getattr(adata, slot)[key]
    return adata


def _representation_faults(key: str) -> Iterator[Fault]:
    def changed(change: Callable[[np.ndarray], Any]) -> Callable[[AnnData], AnnData]:
        def apply(adata: AnnData) -> AnnData:
            try:
                adata.obsm[key] = change(np.array(adata.obsm[key]))
            except (ValueError, TypeError) as error:
                raise Refused(str(error)) from error
            return adata

        return apply

    kinds = ("csr_matrix", "csc_array", "dense", "Fortran order", "read-only", "big-endian", "longdouble", "object")
    for name in kinds:
        yield Fault(f"obsm[{key!r}]: {name}", changed(KINDS[name]), same=True)
    yield Fault(
        f"obsm[{key!r}]: data frame",
        lambda adata: changed(lambda x: pd.DataFrame(x, index=adata.obs_names).add_prefix("d"))(adata),
        same=True,
    )
    for name in ("NaN", "infinite", "all NaN", "huger, 1e30", "all zero", "all one", "constant column", "equal rows"):
        yield Fault(f"obsm[{key!r}]: {name}", changed(VALUES[name]))
    shapes = {
        "float16": lambda x: x.astype("float16"),
        "integers": lambda x: np.rint(10 * x).astype(int),
        "text": lambda x: x.astype(str),
        "complex": lambda x: x.astype(complex),
        "one dimension": lambda x: x[:, :1],
        "no dimension": lambda x: x[:, :0],
        "three axes": lambda x: x[:, :, None],
    }
    for name, change in shapes.items():
        yield Fault(f"obsm[{key!r}]: {name}", changed(change))
    yield Fault(f"obsm[{key!r}]: not there", lambda adata: _without(adata, "obsm", key))


def _named(axis: str, make: Callable[[int], Any]) -> Callable[[AnnData], AnnData]:
    def apply(adata: AnnData) -> AnnData:
        try:
            setattr(adata, f"{axis}_names", make(getattr(adata, f"{axis}_names")))
        except (ValueError, TypeError) as error:
            raise Refused(str(error)) from error
        return adata

    return apply


def _view(adata: AnnData) -> AnnData:
    return adata[np.arange(adata.n_obs), np.arange(adata.n_vars)]


def _backed(adata: AnnData) -> AnnData:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "cells.h5ad"
    try:
        adata.write_h5ad(path)
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise Refused(str(error)) from error
    opened = anndata.read_h5ad(path, backed="r")
    opened.uns["_folder"] = None  # keeps the call signature of the fresh object; the file lives as long as the process
    del opened.uns["_folder"]
    _FOLDERS.append(folder)
    return opened


#: Folders of backed files, which must outlive the objects that read them.
_FOLDERS: list[tempfile.TemporaryDirectory] = []

_STATES = [
    Fault(
        "obs names: unicode and slashes", _named("obs", lambda old: [f"ä/{i} 日" for i in range(len(old))]), same=True
    ),
    Fault("obs names: string dtype", _named("obs", lambda old: old.astype("string")), same=True),
    Fault("obs names: all equal", _named("obs", lambda old: ["cell"] * len(old))),
    Fault("obs names: numbers", _named("obs", lambda old: [str(i) for i in range(len(old))]), same=True),
    Fault("var names: unicode and slashes", _named("var", lambda old: [f"ä/{i} 日" for i in range(len(old))])),
    Fault("var names: string dtype", _named("var", lambda old: old.astype("string")), same=True),
    Fault("var names: all equal", _named("var", lambda old: ["gene"] * len(old))),
    Fault("var names: two equal", _named("var", lambda old: [old[-1], *old[1:]])),
    Fault("view", _view, same=True),
    Fault("backed", _backed, same=True),
    Fault("no X", lambda adata: anndata.AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm))),
    Fault("no cells", lambda adata: adata[:0].copy()),
    Fault("no genes", lambda adata: adata[:, :0].copy()),
    Fault("one cell", lambda adata: adata[:1].copy()),
    Fault("two cells", lambda adata: adata[:2].copy()),
    Fault("three cells", lambda adata: adata[:3].copy()),
    Fault("one gene", lambda adata: adata[:, :1].copy()),
    Fault("two genes", lambda adata: adata[:, :2].copy()),
    Fault("genes in another order", lambda adata: adata[:, ::-1].copy()),
    Fault("not an AnnData", lambda adata: adata.X),
    Fault("None", lambda _: None),
    Fault("a data frame", lambda adata: adata.to_df()),
]


def cells_faults(adata: AnnData, used: Iterable[str]) -> Iterator[Fault]:
    """Faults of cells; of the columns, layers and representations, only of those that are used."""
    used = set(used)
    yield from _STATES
    yield from _matrix_faults(None)
    for layer in adata.layers:
        if layer in used:
            yield from _matrix_faults(layer)
    for key in adata.obs:
        if key in used:
            yield from _column_faults(adata, key)
    for key in adata.obsm:
        if key in used:
            yield from _representation_faults(key)
