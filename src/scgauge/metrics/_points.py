"""The door of `metrics`: points and their groups, checked once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from scgauge._core.matrix import Matrix, as_rows, stored_values
from scgauge._core.stored_rows import is_stored

#: What functions of `metrics` take: numpy array, torch tensor, data frame or scipy sparse matrix or array, ``(n, p)``.
Points: TypeAlias = Any


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


def as_points(x: Points, *, name: str = "x") -> Matrix:
    """Bring points into memory as a numpy array or csr_matrix ``(n, p)`` of finite numbers, in their own dtype.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty, or has values that are NaN or infinite.
    """
    if isinstance(x, AnnData):
        message = f"`{name}` is an AnnData; pass a matrix of it, for example adata.obsm['X_pca'] or adata.X."
        raise TypeError(message)
    x = from_torch(x, name=name)
    if is_stored(x):
        x = as_rows(x)
    points = sparse.csr_matrix(x) if sparse.issparse(x) else np.asarray(x)
    if points.dtype.kind not in "buif":
        message = f"`{name}` has the dtype {points.dtype}; real numbers are needed."
        raise TypeError(message)
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
    if np.ndim(labels) != 1 or len(labels) != n_rows:
        message = f"`{name}` needs one label for each of the {n_rows} rows; found the shape {np.shape(labels)}."
        raise ValueError(message)
    categorical = pd.Categorical(labels).remove_unused_categories()
    n_missing = int((categorical.codes < 0).sum())
    if n_missing:
        message = f"`{name}` has {n_missing} missing values; every row needs a label."
        raise ValueError(message)
    return categorical.codes.astype(np.int64), np.asarray(categorical.categories)
