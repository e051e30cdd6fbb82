"""What a fault is, and faults of matrices: of their kind, which may not matter, and of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable


class Refused(Exception):
    """AnnData itself does not take this input, so that no function can be given it."""


@dataclass(frozen=True)
class Fault:
    """One way to change an input.

    Attributes
    ----------
    name
        Name in the tally.
    apply
        Makes the changed input from a fresh one.
    same
        Whether the input still says the same, so that a function that works must return the same.
    """

    name: str
    apply: Callable[[Any], Any]
    same: bool = False


def dense(matrix: Any) -> np.ndarray:
    """Return a fresh dense copy in float32, or in float64 if it was."""
    values = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return np.array(values, dtype=np.float64 if values.dtype == np.float64 else np.float32)


def _frozen(matrix: Any) -> Any:
    arrays = (matrix.data, matrix.indices, matrix.indptr) if sparse.issparse(matrix) else (matrix,)
    for array in arrays:
        array.setflags(write=False)
    return matrix


def _unsorted(x: np.ndarray) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(x)
    for row in range(matrix.shape[0]):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        matrix.indices[part], matrix.data[part] = matrix.indices[part][::-1].copy(), matrix.data[part][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def _with_stored_zeros(x: np.ndarray) -> sparse.csr_matrix:
    indices = np.tile(np.arange(x.shape[1]), len(x))
    indptr = np.arange(len(x) + 1) * x.shape[1]
    return sparse.csr_matrix((x.ravel().copy(), indices, indptr), shape=x.shape)


def _halves(x: np.ndarray) -> sparse.csr_matrix:
    """Every entry stored as two that add up to it."""
    first = np.floor(x / 2)
    pairs = np.stack([first, x - first], axis=2)
    indices = np.tile(np.repeat(np.arange(x.shape[1]), 2), len(x))
    indptr = np.arange(len(x) + 1) * 2 * x.shape[1]
    return sparse.csr_matrix((pairs.ravel(), indices, indptr), shape=x.shape)


def _wide_indices(x: np.ndarray) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(x)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    return matrix


def _typed(dtype: str, *, of: Callable[[np.ndarray], Any] = np.asarray) -> Callable[[np.ndarray], Any]:
    def convert(x: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            values = x.astype(dtype)
        if not np.array_equal(values.astype(x.dtype), x):
            raise Refused(dtype)
        return of(values)

    return convert


#: The same numbers in another container or type; takes a dense array.
KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csc_matrix": sparse.csc_matrix,
    "csc_array": sparse.csc_array,
    "coo_matrix": sparse.coo_matrix,
    "lil_matrix": sparse.lil_matrix,
    "dense": np.array,
    "Fortran order": np.asfortranarray,
    "every second row of a larger array": lambda x: np.repeat(x, 2, axis=0)[::2],
    "np.matrix": np.matrix,
    "masked array": lambda x: np.ma.array(x, mask=np.zeros(x.shape, dtype=bool)),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": lambda x: _frozen(x.copy()),
    "read-only csr": lambda x: _frozen(sparse.csr_matrix(x)),
    "unsorted csr": _unsorted,
    "csr with stored zeros": _with_stored_zeros,
    "csr with repeated entries": _halves,
    "csr with 64-bit indices": _wide_indices,
    "float16": _typed("float16"),
    "float16 csr": lambda x: sparse.csr_matrix(_typed("float32")(_typed("float16")(x))),
    "float64": _typed("float64"),
    "longdouble": _typed("longdouble"),
    "object": lambda x: x.astype(object),
    **{f"{t}": _typed(t) for t in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    **{f"{t} csr": _typed(t, of=sparse.csr_matrix) for t in ("bool", "int8", "int64", "uint16", "uint64")},
}


def _entry(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def put(x: np.ndarray) -> np.ndarray:
        x[tuple(size // 2 for size in x.shape)] = value
        return x

    return put


def _line(axis: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def put(x: np.ndarray) -> np.ndarray:
        x[(..., x.shape[-1] // 2) if axis == -1 else x.shape[0] // 2] = value
        return x

    return put


def _repeat_rows(x: np.ndarray) -> np.ndarray:
    x[:] = x[:1]
    return x


#: Other numbers; takes and returns a dense array.
VALUES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NaN": _entry(np.nan),
    "infinite": _entry(np.inf),
    "minus infinite": _entry(-np.inf),
    "negative": _entry(-1),
    "non-integer": _entry(0.5),
    "huge, 1e9": _entry(1e9),
    "huger, 1e30": _entry(1e30),
    "text": lambda x: x.astype(str),
    "complex": lambda x: x.astype(complex),
    "all NaN": lambda x: np.full_like(x, np.nan),
    "all zero": lambda x: np.zeros_like(x),
    "all one": lambda x: np.ones_like(x),
    "row of zeros": _line(0, 0),
    "column of zeros": _line(-1, 0),
    "constant column": _line(-1, 2),
    "row of NaN": _line(0, np.nan),
    "equal rows": _repeat_rows,
}
