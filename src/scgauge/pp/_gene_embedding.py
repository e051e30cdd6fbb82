from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_finite, check_obs_key, check_unique_names
from scgauge._core.keys import GENE_EMBEDDING
from scgauge._core.matrix import as_rows, get_matrix, iter_rows
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.matrix import Matrix


def gene_embedding(
    adata: AnnData,
    *,
    method: Literal["random", "classes"] = "random",
    n_dims: int = 50,
    labels_key: str | None = None,
    split_key: str | None = None,
    layer: str | None = None,
    rng: RNG = None,
    key_added: str = GENE_EMBEDDING,
    copy: bool = False,
) -> AnnData | None:
    r"""Describe each gene by a few numbers, from which a diet network predicts its weights.

    For :class:`~scgauge.model.Autoencoder` and :class:`~scgauge.model.CountVI` with ``gene_embedding_key``
    :cite:p:`Romero17`. Embeddings of your own (of sequences, of the literature) go into ``adata.varm`` as they are.

    An embedding made of labels carries them into the weights: computed on all cells it tells a model the labels of
    the cells that it is tested on. Labels are therefore read from training cells alone, and a model refuses to be
    trained with other ones held out.

    Parameters
    ----------
    adata
        Annotated data matrix, log-normalised as a rule.
    method
        ``"random"``: projection of the profile of the gene over cells by a random matrix, divided by the square root
        of the number of cells, so that genes with like profiles have like embeddings; ``"classes"``: mean and share of
        non-zero values in each class of `labels_key`, ``2 * n_classes`` numbers.
    n_dims
        Number of dimensions of ``"random"``.
    labels_key
        Column of ``adata.obs`` with the classes, for ``"classes"``.
    split_key
        Column of ``adata.obs`` with ``"train"`` for the cells to use, as :func:`scgauge.pp.split` writes it; needed
        for ``"classes"``. All cells are used if ``None``.
    layer
        Layer to read, ``adata.X`` if ``None``.
    rng
        Seed or Generator of the projection.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varm[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Embedding, ``(n_vars, n_dims)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"uses_labels"``; ``"cells"``: data frame with the column ``cell``, the cells that were used.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer or a column does not exist.
    ValueError
        If the method is unknown, labels come without a split, there is no training cell, or an argument is out of
        range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.pp.gene_embedding(adata, n_dims=5, rng=0)
    >>> adata.varm["gene_embedding"].shape
    (20, 5)
    """
    check_adata(adata)
    check_unique_names(adata)
    if method not in {"random", "classes"}:
        message = f"method={method!r} was given; choose 'random' or 'classes'."
        raise ValueError(message)
    if n_dims < 1:
        message = f"n_dims={n_dims} was given; at least 1 is needed."
        raise ValueError(message)
    rows = np.arange(adata.n_obs)
    if split_key is not None:
        rows = np.flatnonzero(check_obs_key(adata, split_key, argument="split_key").astype(str) == "train")
        if len(rows) == 0:
            message = f"No cell has 'train' in adata.obs[{split_key!r}]. Run: scgauge.pp.split(adata)"
            raise ValueError(message)
    if method == "classes" and (labels_key is None or split_key is None):
        message = (
            "method='classes' needs `labels_key`, and `split_key` to read labels of training cells alone: else the "
            "labels of held-out cells would leak into the model. Run: scgauge.pp.split(adata), and pass "
            "split_key='split'."
        )
        raise ValueError(message)
    check_finite(adata, layer)
    matrix = as_rows(get_matrix(adata, layer))[rows]
    if method == "random":
        values = _projection(matrix, n_dims, generator(rng))
    else:
        labels = check_obs_key(adata, str(labels_key), argument="labels_key").astype(str).to_numpy()[rows]
        values = _classes(matrix, labels)
    result = {
        "params": {
            "method": method, "n_dims": values.shape[1], "labels_key": labels_key, "split_key": split_key,
            "layer": layer, "rng": rng,
        },
        "uses_labels": method == "classes",
        "cells": pd.DataFrame({"cell": adata.obs_names[rows].astype(str)}),
    }  # fmt: skip
    return store(adata, copy=copy, varm={key_added: values}, uns={key_added: result})


def _projection(matrix: Matrix, n_dims: int, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros((matrix.shape[1], n_dims))
    for _, block in iter_rows(matrix):
        total += block.T @ rng.standard_normal((block.shape[0], n_dims))
    return total / np.sqrt(matrix.shape[0])


def _classes(matrix: Matrix, labels: np.ndarray) -> np.ndarray:
    columns = []
    for label in np.unique(labels):
        block = matrix[labels == label]
        columns += [np.asarray(part.mean(axis=0)).ravel() for part in (block, (block != 0).astype(float))]
    return np.column_stack(columns).astype(np.float64)
