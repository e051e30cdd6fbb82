from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from scgauge._core.optional import later, need
from scgauge._core.stored_rows import is_stored_by_columns, reader_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

#: What the attributes of a collection of annbatch say that it is.
_COLLECTION = "annbatch-preshuffled"


def read_backed(path: str | PathLike[str], *, layer: str | None = None) -> AnnData:
    """Open an h5ad file, a zarr store or a collection of annbatch without loading the matrix.

    Tables of cells and genes, ``obsm``, ``varm`` and ``uns`` are read; the matrix stays on disk and is read where it is
    needed, so that data which do not fit into memory can be checked, trained on, embedded and sampled. Unlike
    ``anndata.read_h5ad(path, backed="r")``, which works as well, it also opens zarr stores, and takes the matrix from a
    layer, of which AnnData itself would load all.

    Parameters
    ----------
    path
        h5ad file, zarr store, a group in a zarr store that holds an AnnData, or a collection of annbatch
        (``annbatch.DatasetCollection``), whose data sets follow each other; several are read through dask.
    layer
        Layer with the matrix, which becomes ``adata.X``; the ``X`` of the file if ``None``.

    Returns
    -------
    Annotated data with the matrix of the file as its ``X``, without layers. The file is open as long as it is in use;
    it is only read. ``adata.to_memory()`` loads the matrix, ``adata[rows].copy()`` some cells.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    KeyError
        If the file has no such layer, or no matrix at all.
    ValueError
        If it holds no AnnData or is damaged, the matrix is compressed by columns (csc), so that cells cannot be read
        one by one, or a zarr store holds pickled Python objects, which could run anything when they are read.
    ImportError
        If `path` is a zarr store and zarr is not installed, or dask, for a collection of several data sets.

    Examples
    --------
    >>> import tempfile, scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> folder = tempfile.TemporaryDirectory()
    >>> adata.write_h5ad(f"{folder.name}/cells.h5ad")
    >>> cells = scgauge.datasets.read_backed(f"{folder.name}/cells.h5ad")
    >>> scgauge.model.CountVI.setup_anndata(cells)
    >>> model = scgauge.model.CountVI(cells, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> model.get_latent_representation().shape
    (60, 2)
    >>> folder.cleanup()
    """
    place = Path(path)
    if not place.exists():
        message = f"There is no file or store at {str(place)!r}."
        raise FileNotFoundError(message)
    with _readable(place):
        group = _open(place)
    with _readable(place):
        encoding = group.attrs.get("encoding-type", "anndata" if {"obs", "var"} <= set(group) else None)
    if encoding == _COLLECTION:
        return _read_collection(group, place, layer)
    if encoding not in {"anndata", b"anndata"}:
        message = f"{str(place)!r} holds no AnnData but {encoding or 'something else'}; it has {sorted(group)}."
        raise ValueError(message)
    return _read_cells(group, place, layer)


def _read_cells(group: Any, place: Path, layer: str | None, *, lazily: bool = False) -> AnnData:
    """Read the tables of an AnnData; its matrix is a stored one or, if `lazily`, a dask array on it."""
    _refuse_pickles(group, place)
    stored = _stored(group, layer)
    with _readable(place):
        io = later("anndata.io")
        matrix = io.sparse_dataset(stored) if hasattr(stored, "keys") else stored
        tables: dict[str, Any] = {
            name: io.read_elem(group[name]) for name in ("obs", "var", "obsm", "varm", "uns") if name in group
        }
    if is_stored_by_columns(matrix):
        message = (
            "The matrix is stored by columns (csc), so that cells cannot be read one by one. Write it by rows once: "
            "adata = anndata.read_h5ad(path); adata.X = adata.X.tocsr(); adata.write_h5ad(path)"
        )
        raise ValueError(message)
    with _readable(place):
        _refuse_opaque(tables)
        reader_of(matrix)  # looks where the rows begin
        return AnnData(X=later("anndata.experimental").read_elem_lazy(stored) if lazily else matrix, **tables)


def _read_collection(group: Any, place: Path, layer: str | None) -> AnnData:
    """Read the data sets of a collection of annbatch, one below the other."""
    with _readable(place):
        names = [name for name in group if re.fullmatch(r"dataset_\d+", name)]
    names.sort(key=lambda name: int(name.removeprefix("dataset_")))
    if not names:
        message = f"{str(place)!r} is a collection of annbatch without data sets. Write it again."
        raise ValueError(message)
    if len(names) == 1:
        return _read_cells(group[names[0]], place / names[0], layer)
    need("dask", extra="stream", purpose="collections of several data sets")
    parts = [_read_cells(group[name], place / name, layer, lazily=True) for name in names]
    for name, part in zip(names, parts, strict=True):
        if not part.var_names.equals(parts[0].var_names):
            message = f"{name} of {str(place)!r} has other genes than {names[0]}, or another order. Write it again."
            raise ValueError(message)
    return later("anndata").concat(parts, merge="first", uns_merge="first")


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    """Turn what libraries raise on a file that they cannot read into an error that names the file."""
    try:
        yield
    except (ImportError, MemoryError, PermissionError):
        raise
    except Exception as error:
        message = (
            f"{str(place)!r} is damaged or no AnnData ({type(error).__name__}: {str(error)[:200]}). Write it again."
        )
        raise ValueError(message) from error


def _refuse_opaque(tables: Mapping[str, Any]) -> None:
    """Raise ValueError if a column holds bytes without a type, which anndata takes for values, with a warning."""
    for table in ("obs", "var"):
        for column, values in tables.get(table, {}).items():
            if len(values) and isinstance(values.iloc[0], np.void):
                message = f"{table}[{column!r}] holds bytes without a type"
                raise ValueError(message)


def _refuse_pickles(group: Any, place: Path) -> None:
    """Raise ValueError if an array of a zarr store is packed as Python objects: whoever reads it runs what is in it."""
    if not place.is_dir():  # HDF5 has no such packing
        return
    members: dict[str, Any] = {}
    with _readable(place):  # newer versions of zarr refuse some of them themselves
        if hasattr(group, "members"):
            members |= group.members(max_depth=None)
        else:  # zarr 2
            group.visititems(members.__setitem__)
    for name, member in members.items():
        metadata = getattr(member, "metadata", member)
        codecs = (*(getattr(metadata, "filters", None) or ()), getattr(metadata, "compressor", None))
        if any(getattr(codec, "codec_id", None) == "pickle" for codec in codecs):
            message = (
                f"{str(place)!r} packs {name!r} as Python objects (pickle), which could run anything when they are "
                "read. Ask for a store that anndata has written."
            )
            raise ValueError(message)


def _open(place: Path) -> Any:
    if place.is_dir():
        return need("zarr", extra="stream", purpose="zarr stores").open_group(place, mode="r")
    h5py = later("h5py")
    if not h5py.is_hdf5(place):
        message = f"{str(place)!r} is neither an h5ad file nor a zarr store."
        raise ValueError(message)
    return h5py.File(place, mode="r")


def _stored(group: Any, layer: str | None) -> Any:
    """Return the array or the group of the matrix."""
    layers = [name for name in group["layers"] if name != "None"] if "layers" in group else []
    if layer is not None and layer not in layers:
        message = f"Did not find the layer {layer!r} in the file; found {sorted(layers)}."
        raise KeyError(message)
    # anndata 0.12.0 writes an X that is not there.
    if layer is None and ("X" not in group or group["X"].attrs.get("encoding-type") == "null"):
        message = f"The file has no matrix in X. Name a layer with `layer=`; found {sorted(layers)}."
        raise KeyError(message)
    return group["X"] if layer is None else group["layers"][layer]
