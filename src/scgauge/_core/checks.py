"""Checks of user input: what was found, what is needed, what to run; raised before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from scgauge._core.matrix import get_matrix, iter_rows, stored_values

if TYPE_CHECKING:
    import pandas as pd

#: Integers above this are not exact in float32, the type in which models read counts.
LARGEST_COUNT = 2**24


def check_adata(adata: Any, *, name: str = "adata") -> None:
    """Raise TypeError unless `adata` is an AnnData, ValueError if it has no cells or no genes."""
    if not isinstance(adata, AnnData):
        message = f"`{name}` is {type(adata).__name__}; an AnnData is needed."
        raise TypeError(message)
    if adata.n_obs == 0 or adata.n_vars == 0:
        message = f"`{name}` has {adata.n_obs} cells and {adata.n_vars} genes; at least one of each is needed."
        raise ValueError(message)


def check_indices(indices: Any, n_obs: int) -> np.ndarray:
    """Return row numbers, ``(n,)``; TypeError unless integers or booleans, ValueError unless rows of `n_obs`."""
    try:
        rows = np.asarray(indices)
    except ValueError:  # lists of different lengths
        rows = np.asarray(None)
    if rows.ndim != 1 or (rows.dtype.kind not in "biu" and rows.size):
        message = "`indices` must be row numbers or one True or False for each cell."
        raise TypeError(message)
    if rows.dtype.kind == "b":
        if len(rows) != n_obs:
            message = f"`indices` has {len(rows)} values True or False; {n_obs} cells need one each."
            raise ValueError(message)
        return np.flatnonzero(rows)
    rows = rows.astype(np.int64)
    if rows.size == 0 or rows.min() < -n_obs or rows.max() >= n_obs:
        message = f"`indices` must name rows from 0 to {n_obs - 1}, at least one."
        raise ValueError(message)
    return rows


def _check_is_text(key: Any, argument: str) -> None:
    if not isinstance(key, str):
        message = f"{argument}={key!r} was given; a string is needed."
        raise TypeError(message)


def check_obs_key(adata: AnnData, key: str, *, argument: str) -> pd.Series:
    """Return ``adata.obs[key]``; KeyError if it is missing, ValueError if it has missing values."""
    _check_is_text(key, argument)
    if key not in adata.obs:
        message = f"Did not find {argument}={key!r} in adata.obs; found {list(adata.obs.columns)}."
        raise KeyError(message)
    column = adata.obs[key]
    n_missing = int(column.isna().sum())
    if n_missing:
        message = (
            f"adata.obs[{key!r}] has {n_missing} missing values; {argument} needs one for every cell. "
            f"Run: adata = adata[adata.obs[{key!r}].notna()].copy()"
        )
        raise ValueError(message)
    return column


def check_obs_groups(adata: AnnData, key: str, *, argument: str) -> None:
    """Raise an error unless ``adata.obs[key]`` is there, without missing values, and its groups have an order."""
    groups = check_obs_key(adata, key, argument=argument).astype("category").cat.categories
    try:
        sorted(groups)
    except TypeError as error:
        types = sorted({type(group).__name__ for group in groups})
        message = (
            f"adata.obs[{key!r}] holds values of several types, {types}; {argument} needs one. "
            f"Run: adata.obs[{key!r}] = adata.obs[{key!r}].astype(str)"
        )
        raise TypeError(message) from error


def check_obs_numbers(adata: AnnData, key: str, *, argument: str) -> np.ndarray:
    """Return ``adata.obs[key]`` as finite float64, ``(n_obs,)``; KeyError if missing, ValueError if no such numbers."""
    column = check_obs_key(adata, key, argument=argument)
    try:
        values = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"adata.obs[{key!r}] does not hold numbers, which {argument} needs."
        raise ValueError(message) from error
    if not np.isfinite(values).all():
        message = (
            f"adata.obs[{key!r}] has {int((~np.isfinite(values)).sum())} infinite values; {argument} needs numbers."
        )
        raise ValueError(message)
    return values


#: What makes the representations that others ask for by default.
_MADE_BY = {
    "X_pca": "sc.pp.pca(adata) on log-normalised counts",
    "X_umap": "sc.pp.neighbors(adata); sc.tl.umap(adata)",
    "X_tsne": "sc.tl.tsne(adata)",
}


def check_obsm_key(adata: AnnData, key: str, *, argument: str = "use_rep") -> np.ndarray:
    """Return ``adata.obsm[key]`` as a float array; KeyError if missing, ValueError unless finite and 2-D."""
    _check_is_text(key, argument)
    if key not in adata.obsm:
        message = f"Did not find {argument}={key!r} in adata.obsm; found {list(adata.obsm.keys())}."
        raise KeyError(message + (f" Run: {_MADE_BY[key]}" if key in _MADE_BY else ""))
    values = adata.obsm[key]
    values = np.asarray(values.toarray() if sparse.issparse(values) else values)
    if values.dtype.kind not in "buif":
        try:  # columns of a data frame that pandas keeps as objects
            values = values.astype(np.float64) if values.dtype.kind == "O" else None
        except (TypeError, ValueError):
            values = None
        if values is None:
            message = f"adata.obsm[{key!r}] does not hold numbers; a finite (n_obs, n_dims) array is needed."
            raise ValueError(message)
    values = values.astype(np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        message = f"adata.obsm[{key!r}] must be a finite (n_obs, n_dims) array; found shape {values.shape}" + (
            "." if values.ndim != 2 else f" with {int((~np.isfinite(values)).sum())} values that are NaN or infinite."
        )
        raise ValueError(message)
    return values


def check_unique_names(adata: AnnData) -> None:
    """Raise ValueError if gene names repeat."""
    duplicated = adata.var_names[adata.var_names.duplicated()].unique()
    if len(duplicated):
        message = (
            f"Gene names must be unique; found {len(duplicated)} repeated, for example {duplicated[0]!r}. "
            "Run: adata.var_names_make_unique()"
        )
        raise ValueError(message)


def check_same_genes(x: AnnData, y: AnnData, *, names: tuple[str, str] = ("real", "synthetic")) -> AnnData:
    """Return `y` with its genes in the order of those of `x`, itself where they are.

    Raises
    ------
    ValueError
        If gene names repeat, or one has genes that the other lacks.
    """
    check_unique_names(x)
    check_unique_names(y)
    missing = x.var_names.symmetric_difference(y.var_names)
    if len(missing):
        message = (
            f"`{names[0]}` and `{names[1]}` need the same genes; {len(missing)} are in one only, "
            f"for example {missing[0]!r}."
        )
        raise ValueError(message)
    return y if x.var_names.equals(y.var_names) else y[:, x.var_names]


def _where(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def _describe_entry(adata: AnnData, rows: slice, block: Any, bad: np.ndarray) -> str:
    """Name the first offending entry: its value, cell and gene."""
    position = int(np.flatnonzero(bad)[0])
    if sparse.issparse(block):
        row = int(np.searchsorted(block.indptr, position, side="right")) - 1
        column, value = int(block.indices[position]), block.data[position]
    else:
        row, column = divmod(position, block.shape[1])
        value = block[row, column]
    return f"{value} in cell {adata.obs_names[rows.start + row]!r}, gene {adata.var_names[column]!r}"


def check_counts(adata: AnnData, layer: str | None = None, *, allow_empty_cells: bool = False) -> None:
    """Check every entry of a count matrix, block by block.

    Counts are finite, non-negative integers below 2^24 (the exact range of float32).

    Parameters
    ----------
    adata
        Annotated data matrix.
    layer
        Layer with the counts, ``adata.X`` if ``None``.
    allow_empty_cells
        Whether cells without a count may stay.

    Raises
    ------
    ValueError
        Naming the kind of fault, how many entries have it, one of them, and what to run.
    """
    matrix = get_matrix(adata, layer)
    where = _where(layer)
    faults: dict[str, tuple[int, str]] = {}
    empty: list[np.ndarray] = []
    for rows, block in iter_rows(matrix):
        values = stored_values(block)
        finite = np.isfinite(values)
        rules = {
            "NaN or infinite": ~finite,
            "negative": finite & (values < 0),
            "non-integer": finite & (values != np.rint(values)),
            "larger than 2^24": finite & (values > LARGEST_COUNT),
        }
        for fault, bad in rules.items():
            if bad.any():
                n_bad, example = faults.get(fault, (0, ""))
                faults[fault] = n_bad + int(bad.sum()), example or _describe_entry(adata, rows, block, bad)
        library = np.asarray(block.sum(axis=1)).ravel()
        empty.append(np.flatnonzero(library == 0) + rows.start)
    advice = {
        "NaN or infinite": "Remove or fill these entries first.",
        "negative": "Pass raw counts: this matrix looks scaled or centred.",
        "non-integer": "Pass raw counts with `layer=`, or recover them with scgauge.pp.recover_counts.",
        "larger than 2^24": "Such counts are not exact in float32; check the matrix.",
    }
    for fault, (n_bad, example) in faults.items():
        message = f"{where} must hold counts; found {n_bad} {fault} entries, the first {example}. {advice[fault]}"
        raise ValueError(message)
    n_empty = sum(map(len, empty))
    if n_empty and not allow_empty_cells:
        first = adata.obs_names[int(np.concatenate(empty)[0])]
        message = (
            f"{where} has {n_empty} cells without a single count, the first {first!r}; every cell needs at least one. "
            "Run: sc.pp.filter_cells(adata, min_counts=1)"
        )
        raise ValueError(message)


def _check_values(adata: AnnData, layer: str | None, *, binary: bool) -> None:
    """Raise ValueError at the first block with a value that is not finite or, if asked, not 0 or 1."""
    where = _where(layer)
    for rows, block in iter_rows(get_matrix(adata, layer)):
        values = stored_values(block)
        finite = np.isfinite(values)
        if not finite.all():
            example = _describe_entry(adata, rows, block, ~finite)
            message = f"{where} must be finite; found {example}. Remove or fill such entries first."
            raise ValueError(message)
        if binary:
            bad = (values != 0) & (values != 1)
            if bad.any():
                example = _describe_entry(adata, rows, block, bad)
                message = (
                    f"{where} must hold only 0 and 1 for gene_likelihood='bernoulli'; found {example}. "
                    "Run: scgauge.pp.binarize(adata), and register the layer that it writes."
                )
                raise ValueError(message)


def check_binary(adata: AnnData, layer: str | None = None) -> None:
    """Raise ValueError unless every entry is exactly 0 or 1."""
    _check_values(adata, layer, binary=True)


def check_finite(adata: AnnData, layer: str | None = None) -> None:
    """Raise ValueError unless every entry is finite."""
    _check_values(adata, layer, binary=False)


def check_nonnegative(adata: AnnData, layer: str | None = None) -> None:
    """Raise ValueError unless every entry is finite and at least 0."""
    for rows, block in iter_rows(get_matrix(adata, layer)):
        values = stored_values(block)
        bad = ~(np.isfinite(values) & (values >= 0))
        if bad.any():
            example = _describe_entry(adata, rows, block, bad)
            message = (
                f"{_where(layer)} must hold finite values from 0 upward; found {example}. Pass counts with `layer=`."
            )
            raise ValueError(message)
