from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS

from scgauge._core.matrix import as_rows
from scgauge._core.stored_rows import StoredRows, is_stored
from scgauge.nn import SparseRows, to_device

if TYPE_CHECKING:
    from scvi.data import AnnDataManager
    from torch import Tensor


class HostRows:
    """Sparse matrix in host memory, as it is: nothing of it is copied but the rows that are taken.

    Parameters
    ----------
    matrix
        Matrix of cells x genes.
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        self.matrix = matrix
        self.is_clean = bool(matrix.has_canonical_format) and bool(matrix.data.all())

    def take(self, rows: np.ndarray) -> SparseRows:
        """Return some rows, in the order asked for."""
        block = self.matrix[rows]
        if not self.is_clean:
            # Likelihoods are not linear: an entry stored in two parts would count as two, and a stored zero is none.
            block.sum_duplicates()
            block.eliminate_zeros()
        values = torch.from_numpy(block.data.astype(np.float32, copy=False))
        offsets = torch.from_numpy(block.indptr.astype(np.int64))
        return SparseRows(
            values=values,
            rows=torch.from_numpy(np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(block.indptr))),
            columns=torch.from_numpy(block.indices.astype(np.int32, copy=False)),
            offsets=offsets,
            n_columns=block.shape[1],
            totals=torch.segment_reduce(values, "sum", offsets=offsets, unsafe=True, initial=0.0),
        )


class DeviceRows:
    """Sparse matrix in the memory of a device, in the smallest type that holds its values.

    Parameters
    ----------
    matrix
        Matrix of cells x genes.
    device
        Where to keep it.
    """

    def __init__(self, matrix: sparse.csr_matrix, device: torch.device) -> None:
        if not matrix.has_canonical_format or not matrix.data.all():
            matrix = matrix.copy()
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
        self.device = device
        self.starts = matrix.indptr.astype(np.int64)
        self.n_columns = matrix.shape[1]
        self.values = _tensor(matrix.data.astype(smallest_dtype(matrix.data), copy=False)).to(device)
        self.columns = _tensor(matrix.indices.astype(np.int32, copy=False)).to(device)

    @staticmethod
    def size_in_bytes(matrix: sparse.csr_matrix) -> int:
        """Return how much memory a matrix takes on a device."""
        return matrix.nnz * (4 + smallest_dtype(matrix.data).itemsize)

    def take(self, rows: np.ndarray) -> SparseRows:
        """Return some rows, in the order asked for; lengths are known to the host, so that the device never waits."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        shift, counts, ends = (
            to_device(part, self.device) for part in (self.starts[rows] - offsets[:-1], lengths, offsets)
        )
        total = int(offsets[-1])
        row = torch.arange(len(rows), dtype=torch.int32, device=self.device)
        row = row.repeat_interleave(counts, output_size=total)
        places = torch.arange(total, device=self.device) + shift.index_select(0, row)
        values = self.values.index_select(0, places).float()
        return SparseRows(
            values=values,
            rows=row,
            columns=self.columns.index_select(0, places),
            offsets=ends,
            n_columns=self.n_columns,
            totals=torch.segment_reduce(values, "sum", offsets=ends, unsafe=True, initial=0.0),
        )


def smallest_dtype(values: np.ndarray) -> np.dtype:
    """Return the smallest type that holds counts exactly: one or two bytes where they fit, else four."""
    if len(values) == 0:
        return np.dtype(np.uint8)
    largest = values.max()
    if values.min() < 0 or largest > np.iinfo(np.int16).max or (values % 1).any():
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if largest <= np.iinfo(np.uint8).max else np.int16)


class CellStore:
    """Registered cells, from which minibatches are taken by row number.

    Parameters
    ----------
    manager
        Registered data; the matrix is in memory, or on disk and stays there.
    device
        Where to keep a matrix that is in memory; ``None`` leaves it where it is.
    keep_sparse
        Whether sparse counts stay sparse in the minibatches.

    Raises
    ------
    ValueError
        If the matrix is on disk and compressed by columns.
    """

    def __init__(
        self, manager: AnnDataManager, *, device: torch.device | None = None, keep_sparse: bool = False
    ) -> None:
        self.n_cells = manager.adata.n_obs
        self.keep_sparse = keep_sparse
        matrix = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        #: Reader of a matrix on disk; its rows are taken from blocks of cells, `load`.
        self.reader = StoredRows(matrix) if is_stored(matrix) else None
        self.matrix: HostRows | DeviceRows | Tensor | None = None
        if self.reader is None:
            self.matrix = _rows_of(as_rows(matrix), device)
        # scvi-tools knows the type of each field; but for the matrix they are small.
        others = [key for key in manager.data_registry if key != REGISTRY_KEYS.X_KEY]
        fields = manager.create_torch_dataset(data_and_attributes=others)[np.arange(self.n_cells)]
        self.fields = {key: torch.as_tensor(value).to(device) for key, value in fields.items()}

    @staticmethod
    def can_hold(manager: AnnDataManager) -> bool:
        """Whether the matrix is of a kind whose rows can be taken, in memory or on disk."""
        matrix = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        return isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or is_stored(matrix)

    def load(self, rows: np.ndarray) -> CellStore:
        """Return a store in memory with some cells of one on disk, in the order asked for."""
        if self.reader is None:
            message = "Only cells on disk are loaded."
            raise RuntimeError(message)
        held = copy(self)
        held.n_cells, held.reader = len(rows), None
        block = self.reader.take(rows, dtype=np.float32)
        held.matrix = _rows_of(as_rows(block), None)
        held.fields = _take(self.fields, rows)
        return held

    def take(self, rows: np.ndarray) -> dict[str, Any]:
        """Return the minibatch of some cells, in the order asked for: each registered field by its key."""
        if self.matrix is None:
            return self.load(rows).take(np.arange(len(rows)))
        x: Tensor | SparseRows
        if isinstance(self.matrix, torch.Tensor):
            x = _take({REGISTRY_KEYS.X_KEY: self.matrix}, rows)[REGISTRY_KEYS.X_KEY].float()
        else:
            x = self.matrix.take(rows)
            x = x if self.keep_sparse else x.to_dense()
        return {REGISTRY_KEYS.X_KEY: x} | _take(self.fields, rows)


def _take(fields: dict[str, Tensor], rows: np.ndarray) -> dict[str, Tensor]:
    """Return some rows of each field; row numbers go to each device once, and the host does not wait for it."""
    on = {device: to_device(rows, device) for device in {value.device for value in fields.values()}}
    return {key: value.index_select(0, on[value.device]) for key, value in fields.items()}


def _rows_of(matrix: sparse.csr_matrix | np.ndarray, device: torch.device | None) -> HostRows | DeviceRows | Tensor:
    """Prepare a matrix in memory for taking rows of it, on a device if one is given."""
    if not sparse.issparse(matrix):
        return _tensor(matrix).to(device)
    return HostRows(matrix) if device is None else DeviceRows(matrix, device)


def _tensor(array: np.ndarray) -> Tensor:
    """Share the memory of an array with torch, which only ever reads it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array))
