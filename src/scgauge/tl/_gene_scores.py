"""What different explanations say about genes, brought to one form: genes x columns of scores that are not negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

_PATTERN = {"step", "gene", "latent"}


def gene_scores(adata: AnnData, source: Any, *, name: str) -> pd.DataFrame:
    """Scores of all genes of `adata`, NaN where a source says nothing of a gene.

    Parameters
    ----------
    adata
        Whose genes, and where keys are looked up.
    source
        Key in ``adata.varm`` (attributions, loadings), key in ``adata.uns`` of ranked marker genes, result of
        :func:`scgauge.tl.log_linear_patterns`, or a table of scores, genes x columns.
    name
        Of the method, for messages.

    Raises
    ------
    KeyError
        If a key is unknown or a table has no gene of `adata`.
    TypeError
        If the source is none of these.
    ValueError
        If scores are not finite for two genes at least.
    """
    if isinstance(source, str):
        table = _of_key(adata, source, name)
    elif isinstance(source, pd.DataFrame):
        table = _of_pattern(source) if set(source.columns) >= _PATTERN else source
    else:
        message = f"The source {name!r} is {type(source).__name__}; a key or a DataFrame is needed."
        raise TypeError(message)
    table = table.set_axis(table.index.astype(str))
    known = table.index.intersection(adata.var_names.astype(str))
    if not len(known):
        message = f"The source {name!r} has no gene of `adata`; it has, for example, {table.index[:3].tolist()}."
        raise KeyError(message)
    table = table.loc[known].apply(pd.to_numeric).abs().reindex(adata.var_names.astype(str))
    table.columns = table.columns.astype(str)
    if table.notna().any(axis=1).sum() < 2 or np.isinf(table.to_numpy()).any():
        message = f"The source {name!r} needs finite scores of at least two genes."
        raise ValueError(message)
    return table


def _of_key(adata: AnnData, key: str, name: str) -> pd.DataFrame:
    if key in adata.varm:
        values = adata.varm[key]
        if isinstance(values, pd.DataFrame):
            return values
        values = np.atleast_2d(np.asarray(values, dtype=np.float64).T).T
        notes = adata.uns.get(key)
        names = notes.get("names") if isinstance(notes, dict) else None
        fits = names is not None and len(names) == values.shape[1]
        columns = list(names) if fits and names is not None else [str(i) for i in range(values.shape[1])]
        return pd.DataFrame(values, index=adata.var_names, columns=columns)
    notes = adata.uns.get(key)
    if isinstance(notes, dict) and {"names", "scores"} <= set(notes) and notes["names"].dtype.names:
        groups = notes["names"].dtype.names
        parts = {group: pd.Series(notes["scores"][group], index=notes["names"][group]) for group in groups}
        return pd.DataFrame(parts)
    message = (
        f"Did not find {key!r} (source {name!r}) in adata.varm, nor ranked genes under it in adata.uns. Run "
        "scgauge.tl.attribute, scgauge.tl.loadings or scanpy.tl.rank_genes_groups first, or pass a table."
    )
    raise KeyError(message)


def _of_pattern(table: pd.DataFrame) -> pd.DataFrame:
    """Genes in the order of their selection: what a step adds is conditional, so that steps alone can be compared."""
    scores = len(table) - np.arange(len(table), dtype=float)
    return pd.DataFrame({"pattern": scores}, index=table.sort_values("step")["gene"].to_numpy())


def importance(scores: pd.DataFrame) -> pd.Series:
    """Largest score of each gene over the columns, each divided by its own largest."""
    largest = scores.max()
    return (scores / largest.where(largest > 0, 1.0)).max(axis=1)
