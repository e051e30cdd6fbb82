"""The door of `metrics`: points and their groups, checked once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from scgauge._core.matrix import Matrix, as_rows, canonical, stored_values
from scgauge._core.stored_rows import is_stored

#: What functions of `metrics` take: numpy array, torch tensor, data frame or scipy sparse matrix or array, ``(n, p)``.
Points: TypeAlias = Any

#: Largest integer up to which all are exact in float64.
LARGEST_TOTAL = 2**53


def from_torch(x: Any, *, name: str = "x") -> Any:
    """Turn a dense tensor of any device into a numpy array; return anything else as it is.

    Raises
    ------
    TypeError
        If `x` is a sparse tensor.
    """
    if not isinstance(x, torch.Tensor):
        return x
    if x.layout is not torch.strided:
        message = f"`{name}` is a sparse tensor; pass a scipy sparse matrix or a dense tensor."
        raise TypeError(message)
    x = x.detach().cpu()
    return (x.float() if x.dtype is torch.bfloat16 else x).numpy()  # numpy has no bfloat16


def as_numeric(x: Any, *, name: str = "x") -> Matrix:
    """Bring numbers of any shape into memory as a numpy array or csr_matrix, in their own dtype.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    """
    if isinstance(x, AnnData):
        message = f"`{name}` is an AnnData; pass a matrix of it, for example adata.obsm['X_pca'] or adata.X."
        raise TypeError(message)
    x = from_torch(x, name=name)
    if is_stored(x):
        x = as_rows(x)
    values = canonical(x) if sparse.issparse(x) else _as_array(x, name)
    if values.dtype.kind not in "buif":
        message = f"`{name}` has the dtype {values.dtype}; real numbers are needed."
        raise TypeError(message)
    # Numbers longer than float64 have no place in BLAS and in files.
    return values.astype(np.float64) if values.dtype.kind == "f" and values.dtype.itemsize > 8 else values


def _as_array(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:
        message = f"`{name}` has rows of different lengths; an array is needed."
        raise TypeError(message) from error


def as_points(x: Points, *, name: str = "x") -> Matrix:
    """Bring points into memory as a numpy array or csr_matrix ``(n, p)`` of finite numbers, in their own dtype.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty, or has values that are NaN or infinite.
    """
    points = as_numeric(x, name=name)
    if points.ndim != 2:
        message = f"`{name}` needs the shape (n, p); found {points.shape}." + (
            " For one variable pass x.reshape(-1, 1)." if points.ndim == 1 else ""
        )
        raise ValueError(message)
    if 0 in points.shape:
        message = f"`{name}` has the shape {points.shape}; at least one row and one column are needed."
        raise ValueError(message)
    values = stored_values(points)
    n_bad = 0 if points.dtype.kind != "f" else int((~np.isfinite(values)).sum())
    if n_bad:
        message = f"`{name}` has {n_bad} values that are NaN or infinite; remove or fill them first."
        raise ValueError(message)
    return points


def as_dense(x: Any, *, name: str = "x") -> np.ndarray:
    """Bring numbers of any shape into memory as a numpy array of float64.

    Raises
    ------
    TypeError
        If `x` is an AnnData, sparse or not numeric.
    """
    values = as_numeric(x, name=name)
    if sparse.issparse(values):
        message = f"`{name}` is sparse; a dense array is needed. Run: x.toarray(), or pass principal components."
        raise TypeError(message)
    return values.astype(np.float64)


def as_dense_points(x: Points, *, name: str = "x") -> np.ndarray:
    """Bring points that must be dense into memory as a numpy array ``(n, p)`` of finite float64.

    Raises
    ------
    TypeError
        If `x` is an AnnData, sparse or not numeric.
    ValueError
        If `x` is not 2-D, is empty, or has values that are NaN or infinite.
    """
    return as_dense(as_points(x, name=name), name=name)


def as_binary(x: Any, *, name: str = "x") -> Matrix:
    """Bring binary variables into memory as a csr_matrix or numpy array ``(n, n_variables)``, in their own dtype.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, or has values other than 0 and 1.
    """
    matrix = as_numeric(x, name=name)
    if matrix.ndim != 2:
        message = f"`{name}` has the shape {matrix.shape}; (n, n_variables) is needed."
        raise ValueError(message)
    values = stored_values(matrix)
    is_other = (values != 0) & (values != 1)
    if is_other.any():
        message = f"`{name}` must hold only 0 and 1; found {values[is_other][0]}. Run scgauge.pp.binarize first."
        raise ValueError(message)
    return matrix


def as_dense_binary(x: Any, *, name: str = "x") -> np.ndarray:
    """Bring binary variables that must be dense into memory as a numpy array ``(n, n_variables)`` of integers."""
    values = as_binary(x, name=name)
    return (values.toarray() if sparse.issparse(values) else values).astype(np.int64)


def as_groups(labels: Any, n_rows: int, *, name: str = "labels") -> tuple[np.ndarray, np.ndarray]:
    """Encode one label for each row.

    Parameters
    ----------
    labels
        One label for each row, ``(n_rows,)``: array, list, Series or Categorical.
    n_rows
        Number of rows that need a label.
    name
        Name of the argument in messages.

    Returns
    -------
    Group of each row as an integer, ``(n_rows,)``, and the names of the groups that occur, in the order of the
    categories if there are any, else sorted.

    Raises
    ------
    ValueError
        If the number of labels is wrong or one is missing.
    """
    shape = label_shape(labels)
    if shape != (n_rows,):
        message = f"`{name}` needs one label for each of the {n_rows} rows; found the shape {shape}."
        raise ValueError(message)
    categorical = pd.Categorical(labels).remove_unused_categories()
    n_missing = int((categorical.codes < 0).sum())
    if n_missing:
        message = f"`{name}` has {n_missing} missing values; every row needs a label."
        raise ValueError(message)
    return categorical.codes.astype(np.int64), np.asarray(categorical.categories)


def label_shape(labels: Any) -> tuple[int, ...]:
    """Shape of labels, ``(n,)`` for one label for each row; ``()`` if some of them are collections themselves."""
    if isinstance(labels, dict):
        return ()
    try:
        return tuple(np.shape(labels))
    except ValueError:  # numpy's word for lists of different lengths
        return ()
