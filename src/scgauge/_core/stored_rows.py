"""Rows of matrices that are not in memory: in an h5ad file or a zarr store, or a dask array."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData

#: csr_matrix or numpy.ndarray.
Rows: TypeAlias = Any

#: Stored bytes between two rows that are read along: a second read would take longer.
_GAP_BYTES = 2**15
#: Stored bytes of one read.
_READ_BYTES = 2**23
#: Stored bytes that lie together where the storage does not say what it holds in one piece.
_TOGETHER_BYTES = 2**16


def is_stored(matrix: Any) -> bool:
    """Whether a matrix is on disk or a dask array, or a reader of one, so that its rows have to be fetched."""
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
        return False
    return isinstance(matrix, StoredRows) or hasattr(matrix, "to_memory") or hasattr(matrix, "chunks")


def is_stored_by_columns(matrix: Any) -> bool:
    """Whether a matrix on disk is compressed by columns: each of its rows is scattered over the whole file."""
    return is_stored(matrix) and getattr(matrix, "format", None) == "csc"


def fetch(matrix: Any) -> Rows:
    """Bring all of a stored matrix into memory, as it is: sparse or dense."""
    if isinstance(matrix, StoredRows):
        matrix = matrix.matrix
    if hasattr(matrix, "to_memory"):  # sparse dataset of AnnData
        return matrix.to_memory()
    if hasattr(matrix, "compute"):  # dask
        return matrix.compute()
    return np.asarray(matrix[:])


def reader_of(matrix: Any) -> StoredRows | None:
    """Return a reader of the rows of a stored matrix; ``None`` if it is in memory, or stored by columns."""
    if isinstance(matrix, StoredRows):
        return matrix
    return StoredRows(matrix) if is_stored(matrix) and not is_stored_by_columns(matrix) else None


def take_cells(adata: AnnData, cells: Any) -> AnnData:
    """Return some cells in memory, of their own.

    Parameters
    ----------
    adata
        Annotated data; of backed ones AnnData itself copies no part, and dask arrays stay such arrays in its copies.
    cells
        Row numbers or mask.
    """
    part = adata[cells]
    return (part if adata.isbacked else part.copy()).to_memory()


class StoredRows:
    """Reader of rows of a stored matrix: those that lie near each other are read together, whatever was asked for.

    ``reader[rows]`` reads rows as the matrix itself would give them.

    Parameters
    ----------
    matrix
        Sparse dataset of AnnData, compressed by rows; two-dimensional array of h5py or zarr; or dask array.

    Raises
    ------
    ValueError
        If the matrix is compressed by columns, or damaged: what it says about where its entries are is not so.
    """

    def __init__(self, matrix: Any) -> None:
        if is_stored_by_columns(matrix):
            message = (
                "The matrix is stored by columns (csc), so that reading some cells means reading all of the file. "
                "Write it by rows once, adata.X = adata.X.to_memory().tocsr(), or load it: adata = adata.to_memory()"
            )
            raise ValueError(message)
        self.matrix, self.shape = matrix, matrix.shape
        self.is_sparse = hasattr(matrix, "to_memory")
        n_rows = max(1, self.shape[0])
        if self.is_sparse:
            self._data, self._indices = matrix.group["data"], matrix.group["indices"]
            #: Where each row begins among the stored entries; the only part that is kept in memory.
            self.starts = np.asarray(matrix.group["indptr"][:], dtype=np.int64)
            self._check_starts()
            self._entry_bytes = self._data.dtype.itemsize + self._indices.dtype.itemsize
            self.row_bytes = self.starts[-1] * self._entry_bytes / n_rows
        else:
            self.starts = np.arange(self.shape[0] + 1, dtype=np.int64)
            self._entry_bytes = self.shape[1] * matrix.dtype.itemsize
            self.row_bytes = float(self._entry_bytes)

    def _check_starts(self) -> None:
        """Raise ValueError unless the rows follow each other and end with the last entry."""
        n_entries = min(self._data.shape[0], self._indices.shape[0])
        starts = self.starts
        if (
            starts.shape != (self.shape[0] + 1,)
            or starts[0] != 0
            or starts[-1] > n_entries
            or (starts[1:] < starts[:-1]).any()
        ):
            message = f"The matrix on disk is damaged: its rows do not follow each other in its {n_entries} entries."
            raise ValueError(message)

    def __getitem__(self, rows: slice | np.ndarray) -> Rows:
        if isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        rows = np.asarray(rows)
        return self.take(np.flatnonzero(rows) if rows.dtype == bool else rows)

    @property
    def n_packed(self) -> int:
        """Rows that the storage packs into one piece, of which it unpacks all to read one; 1 if it packs none."""
        if self.is_sparse:
            if getattr(self._data, "compression", "zarr") is None:
                return 1  # plain bytes of HDF5 are read from any place
            rows = int(self._data.chunks[0] * self.shape[0] / max(1, self.starts[-1]))
        else:
            chunks = self.matrix.chunks
            first = 1 if chunks is None else chunks[0]
            rows = first if isinstance(first, int) else max(first, default=1)
        return max(1, min(rows, self.shape[0]))

    @property
    def n_together(self) -> int:
        """Rows that are worth reading together, if one of them is read."""
        return max(self.n_packed, min(math.ceil(_TOGETHER_BYTES / max(1.0, self.row_bytes)), self.shape[0]))

    def take(self, rows: np.ndarray, *, dtype: Any = None) -> Rows:
        """Return some rows in the order asked for, csr_matrix or array.

        Parameters
        ----------
        rows
            Row numbers in any order, repeated or not, ``(n_rows,)``.
        dtype
            Type of the values, the stored one if ``None``.
        """
        rows = np.asarray(rows, dtype=np.int64)
        is_sorted = bool((rows[1:] > rows[:-1]).all())
        wanted, places = (rows, None) if is_sorted else np.unique(rows, return_inverse=True)
        block = self._read_sparse(wanted, dtype) if self.is_sparse else self._read_dense(wanted, dtype)
        return block if places is None else block[places]

    def _runs(self, wanted: np.ndarray) -> np.ndarray:
        """Divide sorted rows into runs that are read at once; first position of each, and the end."""
        if not len(wanted):
            return np.zeros(1, dtype=np.int64)
        gaps = (self.starts[wanted[1:]] - self.starts[wanted[:-1] + 1]) * self._entry_bytes
        pieces = (self.starts[wanted] - self.starts[wanted[0]]) * self._entry_bytes // _READ_BYTES
        breaks = (gaps > _GAP_BYTES) | (np.diff(pieces) > 0)
        return np.concatenate(([0], np.flatnonzero(breaks) + 1, [len(wanted)]))

    def _read_sparse(self, wanted: np.ndarray, dtype: Any) -> sparse.csr_matrix:
        lengths = self.starts[wanted + 1] - self.starts[wanted]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        data = np.empty(offsets[-1], dtype=dtype or self._data.dtype)
        # Numbers of genes fit into four bytes, whatever the file has.
        indices = np.empty(offsets[-1], dtype=np.int32)
        bounds = self._runs(wanted)
        for first, last in pairwise(bounds):
            part = wanted[first:last]
            stored = slice(self.starts[part[0]], self.starts[part[-1] + 1])
            into = slice(offsets[first], offsets[last])
            values, columns = self._data[stored], self._indices[stored]
            if len(values) != into.stop - into.start:  # rows in between, which nobody wants
                all_lengths = np.diff(self.starts[part[0] : part[-1] + 2])
                is_wanted = np.zeros(len(all_lengths), dtype=bool)
                is_wanted[part - part[0]] = True
                keep = np.repeat(is_wanted, all_lengths)
                values, columns = values[keep], columns[keep]
            data[into], indices[into] = values, columns
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.shape[1]:
            # Whatever takes such a matrix would read and write outside of its memory.
            message = f"The matrix on disk is damaged: it names genes beyond its {self.shape[1]}."
            raise ValueError(message)
        small = offsets[-1] < 2**31
        return sparse.csr_matrix(
            (data, indices, offsets.astype(np.int32 if small else np.int64)), shape=(len(wanted), self.shape[1])
        )

    def _read_dense(self, wanted: np.ndarray, dtype: Any) -> Rows:
        bounds = self._runs(wanted)
        parts = []
        for first, last in pairwise(bounds):
            part = wanted[first:last]
            block = self.matrix[int(part[0]) : int(part[-1]) + 1]
            block = block.compute() if hasattr(block, "compute") else block
            block = block[part - part[0]]
            parts.append(block if dtype is None else block.astype(dtype))
        if not parts:
            return np.empty((0, self.shape[1]), dtype=dtype or self.matrix.dtype)
        if sparse.issparse(parts[0]):
            return sparse.csr_matrix(sparse.vstack(parts, format="csr"))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
