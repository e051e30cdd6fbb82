"""Embeddings of genes for diet networks, and the guard against labels that leak through them."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scgauge._core.matrix import as_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

#: Name under which an embedding that was made of labels remembers its cells.
LABELLED_CELLS = "labelled_cells"


def read_gene_embedding(embedding: str | pd.DataFrame, adata: AnnData | None, genes: np.ndarray) -> pd.DataFrame:
    """Return the embedding of the genes of a model, ``(n_genes, n_dims)``.

    Parameters
    ----------
    embedding
        Key in ``adata.varm``, or a data frame with genes as rows.
    adata
        Cells of the model.
    genes
        Genes of the model, in order.
    """
    if isinstance(embedding, pd.DataFrame):
        frame = embedding
    else:
        if adata is None or embedding not in adata.varm:
            found = [] if adata is None else list(adata.varm.keys())
            message = (
                f"Did not find gene_embedding_key={embedding!r} in adata.varm; found {found}. "
                "Run: scgauge.pp.gene_embedding(adata)"
            )
            raise KeyError(message)
        frame = pd.DataFrame(np.asarray(as_rows(adata.varm[embedding])), index=adata.var_names.astype(str))
        record = adata.uns.get(embedding)
        if isinstance(record, dict) and bool(record.get("uses_labels")):
            frame.attrs[LABELLED_CELLS] = record["cells"]["cell"].astype(str).tolist()
    missing = pd.Index(genes).difference(frame.index.astype(str))
    if len(missing):
        message = f"The gene embedding lacks {len(missing)} genes of the model, for example {missing[0]!r}."
        raise ValueError(message)
    values = frame.set_axis(frame.index.astype(str)).loc[genes].astype(np.float64)
    if not np.isfinite(values.to_numpy()).all() or not (values.to_numpy().std(0) > 0).any():
        message = "The gene embedding must be finite and differ between genes."
        raise ValueError(message)
    values.attrs = dict(frame.attrs)
    return values


def check_no_leak(model: Any, train: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise ValueError if labels of cells that are to be held out went into the embedding of the genes."""
    parameters = {name: value for kind in model.init_params_.values() for name, value in kind.items()}
    embedding = parameters.get("gene_embedding_key")
    cells = getattr(embedding, "attrs", {}).get(LABELLED_CELLS)
    if cells is None:
        return
    given = signature(train).bind(*args, **kwargs).arguments
    split = (given.get("datasplitter_kwargs") or {}).get("external_indexing")
    advice = (
        "Hold out the cells that the embedding has not seen, for example: train = "
        "np.flatnonzero(adata.obs['split'] == 'train'); rest = np.flatnonzero(adata.obs['split'] != 'train'); "
        "model.train(datasplitter_kwargs={'external_indexing': [train, rest]})"
    )
    if split is None:
        if given.get("train_size") == 1:
            return
        message = (
            f"The gene embedding was made of the labels of {len(cells)} cells; a random split would hold out some of "
            f"them, whose labels the model then knows. {advice}"
        )
        raise ValueError(message)
    held_out = np.setdiff1d(np.arange(model.adata.n_obs), np.arange(model.adata.n_obs)[np.asarray(split[0])])
    leaked = model.adata.obs_names[held_out].astype(str).isin(cells)
    if leaked.any():
        message = f"The labels of {int(leaked.sum())} held-out cells went into the gene embedding. {advice}"
        raise ValueError(message)
