"""The door for count matrices: every kind that AnnData holds comes in, csr_matrix or a numpy array goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

from scgauge._core.stored_rows import fetch, is_stored, reader_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

#: Bytes of a block of rows when a matrix is passed over in pieces.
BLOCK_BYTES = 64 * 2**20

#: csr_matrix or numpy.ndarray; SciPy has no types that mypy could follow.
Matrix: TypeAlias = Any


def get_matrix(adata: AnnData, layer: str | None = None) -> Any:
    """Return ``adata.layers[layer]``, or ``adata.X`` for ``None``, as it is stored.

    Raises
    ------
    TypeError
        If `layer` is neither a string nor ``None``.
    KeyError
        If the layer does not exist.
    ValueError
        If ``adata.X`` is empty.
    """
    if layer is None:
        if adata.X is None:
            message = "Found no matrix in adata.X. Put the data there or name a layer with `layer=`."
            raise ValueError(message)
        return adata.X
    if not isinstance(layer, str):
        message = f"layer={layer!r} was given; a string or None is needed."
        raise TypeError(message)
    if layer not in adata.layers:
        # AnnData 0.13 lists X under the key None.
        found = sorted(key for key in adata.layers if key is not None)
        message = f"Did not find the layer {layer!r} in adata.layers; found {found}."
        raise KeyError(message)
    return adata.layers[layer]


def canonical(matrix: Any) -> sparse.csr_matrix:
    """Return a sparse matrix as a csr_matrix whose rows are sorted and store no entry twice; itself where it is one."""
    rows = matrix if isinstance(matrix, sparse.csr_matrix) else sparse.csr_matrix(matrix)
    if rows.has_canonical_format:
        return rows
    rows = rows.copy()
    rows.sum_duplicates()
    return rows


def _is_common(dtype: np.dtype) -> bool:
    """Whether numpy, scipy.sparse and torch all calculate with a type: none does with all halves and long doubles."""
    is_number = dtype.kind in "bui" or (dtype.kind == "f" and dtype.itemsize in {4, 8})
    return dtype.isnative and is_number


def why_unreadable(matrix: Any) -> str | None:
    """Say why models cannot read a matrix as it is stored, and what to run; ``None`` if they can."""
    dtype = getattr(matrix, "dtype", np.dtype(object))
    if not _is_common(dtype):
        return f"has the type {dtype}. Run: adata.X = adata.X.astype('float32')"
    if not sparse.issparse(matrix):
        return "is a numpy.matrix. Run: adata.X = np.asarray(adata.X)" if isinstance(matrix, np.matrix) else None
    if matrix.format not in {"csr", "csc"}:
        return f"is a sparse matrix in the format {matrix.format}. Run: adata.X = adata.X.tocsr()"
    if not matrix.has_canonical_format:
        return "stores entries unsorted or in several pieces. Run: adata.X.sum_duplicates()"
    return None


def readable(matrix: Any) -> Any:
    """Return a matrix as models read it: itself, or brought into memory in another form."""
    return matrix if why_unreadable(matrix) is None else as_rows(matrix)


def as_rows(matrix: Any) -> Matrix:
    """Bring any matrix kind into memory in a form whose rows are cheap: csr_matrix or a 2-D numpy array.

    Entries that are stored in several pieces are added up.

    Raises
    ------
    TypeError
        If the matrix does not hold real numbers.
    """
    if is_stored(matrix):
        matrix = fetch(matrix)
    elif not sparse.issparse(matrix) and not isinstance(matrix, np.ndarray):
        matrix = matrix.to_numpy() if hasattr(matrix, "to_numpy") else np.asarray(matrix)  # a data frame
    if matrix.dtype.kind not in "buif":
        message = f"Found a matrix of the dtype {matrix.dtype}; real numbers are needed. Run: adata.X.astype('float32')"
        raise TypeError(message)
    if matrix.dtype.kind in "iuf" and not _is_common(matrix.dtype):
        matrix = matrix.astype(f"{matrix.dtype.kind}{min(max(matrix.dtype.itemsize, 4), 8)}")
    return canonical(matrix) if sparse.issparse(matrix) else np.asarray(matrix)


def iter_rows(
    matrix: Any, *, block_size: int | None = None, rows: np.ndarray | None = None
) -> Iterator[tuple[slice, Matrix]]:
    """Pass over a matrix, or some of its rows, in blocks of rows with at most `BLOCK_BYTES` dense bytes each.

    Rows come in their order, those of `rows` in the order asked for, together with the slice of their positions.
    Matrices on disk and dask arrays are read block by block; nothing is made dense.

    Raises
    ------
    TypeError
        If the matrix does not hold real numbers.
    """
    n_rows, n_columns = matrix.shape
    if block_size is None:
        block_size = max(1, BLOCK_BYTES // (8 * max(1, n_columns)))
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()
    reader = reader_of(matrix)
    source = matrix if reader is None else reader
    n_rows = n_rows if rows is None else len(rows)
    for start in range(0, n_rows, block_size):
        part = slice(start, min(start + block_size, n_rows))
        yield part, as_rows(source[part if rows is None else rows[part]])


def take_rows(matrix: Any, rows: np.ndarray) -> Matrix:
    """Return some rows in the order asked for, in memory; of a stored matrix nothing else is read."""
    reader = reader_of(matrix)
    if reader is None and is_stored(matrix):
        return as_rows(matrix)[rows]
    return as_rows((matrix if reader is None else reader)[rows])


def stored_values(block: Matrix) -> np.ndarray:
    """Values that a block stores: the data of a sparse one, all entries of a dense one, as a flat array."""
    return np.asarray(block.data if sparse.issparse(block) else block.ravel())


def column_sums(matrix: Any, rows: np.ndarray | None = None) -> np.ndarray:
    """Sum over rows, or over some rows, in float64, one pass, block by block, ``(n_columns,)``."""
    total = np.zeros(matrix.shape[1])
    for _, block in iter_rows(matrix, rows=rows):
        total += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    return total


def row_sums(matrix: Any, rows: np.ndarray | None = None) -> np.ndarray:
    """Sum over columns in float64, block by block, ``(n_rows,)``; of some rows, in the order asked for, if given."""
    wanted, places = (None, slice(None)) if rows is None else np.unique(rows, return_inverse=True)
    total = np.zeros(matrix.shape[0] if wanted is None else len(wanted))
    for part, block in iter_rows(matrix, rows=wanted):
        total[part] = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
    return total[places]
