from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData


def read_mask(mask: str | pd.DataFrame, adata: AnnData | None, genes: np.ndarray, n_free: int) -> pd.DataFrame:
    """Return which loadings may differ from zero, ``(n_genes, n_sets + n_free)`` booleans with names.

    Parameters
    ----------
    mask
        Key in ``adata.varm``, or a data frame whose rows are genes and whose columns are gene sets.
    adata
        Cells of the model.
    genes
        Genes of the model, in order.
    n_free
        Number of columns of ``True`` to add.
    """
    if not isinstance(n_free, int | np.integer) or n_free < 0:
        message = f"n_free_factors={n_free!r} was given; an integer of at least 0 is needed."
        raise ValueError(message)
    frame = mask if isinstance(mask, pd.DataFrame) else _from_varm(mask, adata)
    names = frame.columns.astype(str)
    if names.duplicated().any():
        message = f"The mask has several gene sets of the name {names[names.duplicated()][0]!r}; names must differ."
        raise ValueError(message)
    missing = pd.Index(genes).difference(frame.index.astype(str))
    if len(missing):
        message = f"The mask lacks {len(missing)} of the {len(genes)} genes of the model, for example {missing[0]!r}."
        raise ValueError(message)
    values = frame.set_axis(frame.index.astype(str)).loc[genes].to_numpy()
    if not np.isin(values, (0, 1)).all():
        message = "The mask must hold booleans, True for the genes of a set."
        raise ValueError(message)
    values = values.astype(bool)
    empty = names[~values.any(0)]
    if len(empty):
        message = (
            f"{len(empty)} gene sets have no gene in the data, for example {empty[0]!r}. "
            "Run: scgauge.pp.gene_set_mask(adata, gene_sets=..., min_genes=5)"
        )
        raise ValueError(message)
    if values.shape[1] + n_free == 0:
        message = "The mask has no gene set, and n_free_factors=0; at least one factor is needed."
        raise ValueError(message)
    free = np.ones((len(genes), n_free), dtype=bool)
    columns = [*names, *(f"free_{index}" for index in range(n_free))]
    return pd.DataFrame(np.column_stack((values, free)), index=genes, columns=columns)


def _from_varm(key: str, adata: AnnData | None) -> pd.DataFrame:
    if adata is None or key not in adata.varm:
        found = [] if adata is None else list(adata.varm.keys())
        message = (
            f"Did not find mask_key={key!r} in adata.varm; found {found}. "
            "Run: scgauge.pp.gene_set_mask(adata, gene_sets=...)"
        )
        raise KeyError(message)
    values = adata.varm[key]
    if isinstance(values, pd.DataFrame):
        return values
    values = np.asarray(values)
    return pd.DataFrame(values, index=adata.var_names, columns=[f"set_{index}" for index in range(values.shape[1])])
