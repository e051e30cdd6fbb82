from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obs_key, check_obsm_key
from scgauge._core.keys import EMBEDDING_QUALITY
from scgauge._core.store import store
from scgauge.metrics._embedding_quality import score_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from scgauge._core.rng import RNG
    from scgauge.metrics import EmbeddingQuality

_OF_CELLS = ("recall", "trustworthiness", "continuity")


def bases_of(basis: str | Sequence[str]) -> list[str]:
    """Return the keys as a list; ValueError if there is none or one repeats."""
    names = [basis] if isinstance(basis, str) else list(basis)
    if not names or len(set(names)) < len(names):
        message = f"basis={basis!r} needs one or several different keys of adata.obsm."
        raise ValueError(message)
    return names


def input_of_neighbors(adata: AnnData) -> str:
    """Representation from which scanpy built the neighbour graph, principal components if it names none."""
    parameters = adata.uns.get("neighbors", {}).get("params", {})
    found = parameters.get("use_rep")
    return found if isinstance(found, str) and found in adata.obsm else "X_pca"


def _columns(results: Mapping[str, EmbeddingQuality], n_obs: int, key_added: str) -> dict[str, np.ndarray]:
    """Scores of the cells at the smallest number of neighbours; NaN for cells that were not asked."""
    columns = {}
    for name, result in results.items():
        for metric in _OF_CELLS:
            column = np.full(n_obs, np.nan)
            column[result.query] = getattr(result, metric)[:, 0]
            columns[f"{key_added}_{name}_{metric}"] = column
    return columns


def embedding_quality(
    adata: AnnData,
    *,
    basis: str | Sequence[str],
    use_rep: str | None = "X_pca",
    n_neighbors: int | Sequence[int] = (15, 50, 150),
    labels_key: str | None = None,
    n_query: int | None = None,
    rng: RNG = None,
    key_added: str = EMBEDDING_QUALITY,
    copy: bool = False,
) -> AnnData | None:
    """Score how well embeddings keep the neighbours and the distances of the space that they show.

    Recall of neighbours, LCMC, R_NX and its area over ln k, trustworthiness, continuity, rank correlation of distances,
    stress, correlation of densities and scores of labels, as :func:`scgauge.metrics.embedding_quality` defines them, of
    several embeddings against one reference whose neighbours are found once. Draw the results with
    :func:`scgauge.pl.embedding_quality`, :func:`scgauge.pl.rnx`, :func:`scgauge.pl.shepard` and
    :func:`scgauge.pl.cell_quality`.

    Parameters
    ----------
    adata
        Annotated data matrix with embeddings of the cells.
    basis
        Key or keys in ``adata.obsm`` of the embeddings, for example ``["X_umap", "X_tsne"]``.
    use_rep
        Key in ``adata.obsm`` of the space that they should show: the one that they were made from. ``None`` takes the
        representation of the neighbour graph that scanpy recorded, ``"X_pca"`` if there is none.
    n_neighbors
        Numbers of neighbours, each below half the number of cells. The scores of single cells are those of the
        smallest.
    labels_key
        Column of ``adata.obs`` with labels for the scores of labels; no such scores if ``None``.
    n_query
        Number of random cells whose neighbours are compared with those among all cells; ``None`` takes every cell up
        to 10,000 and 1000 beyond.
    rng
        Seed or Generator of the query cells, of the pairs of cells for the scores of distances, and of the order of
        cells at equal distance.
    key_added
        Key in ``adata.uns`` under which the result is stored, and start of the names of the columns in ``adata.obs``.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call, with ``use_rep`` as found, ``n_query`` as used and ``"k_cells"``, the
        number of neighbours in the columns of ``adata.obs``.
        ``"scores"``: data frame with the columns ``basis``, ``metric``, ``k`` (0 where a score has none), ``value`` and
        ``se``, the standard error that sampling leaves (0 where nothing was sampled, NaN for the silhouette of a
        sample).
        ``"rnx"``: data frame of the curves of R_NX with the columns ``basis``, ``k`` and ``rnx``.
        ``"pairs"``: data frame of distances of up to 4000 pairs of cells with the columns ``basis``, ``true`` and
        ``shown``, the latter at the scale of the stress.
    ``adata.obs[f"{key_added}_{basis}_recall"]`` : :class:`pandas.Series`
        Share of the true neighbours of each cell that are its neighbours in the embedding, for each basis; NaN for
        cells that are no query.
    ``adata.obs[f"{key_added}_{basis}_trustworthiness"]`` : :class:`pandas.Series`
        1 unless neighbours in the embedding are far from the cell in truth.
    ``adata.obs[f"{key_added}_{basis}_continuity"]`` : :class:`pandas.Series`
        1 unless true neighbours were placed far from the cell.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If a basis, ``use_rep`` or ``labels_key`` does not exist.
    ValueError
        If coordinates are not finite or put all cells at one place; if a number of neighbours is below 1 or not below
        half the number of cells; if cells have more exact copies in ``use_rep`` than the smallest number of
        neighbours; if ``n_query`` is not from 2 to the number of cells; if labels are missing; if ``basis`` is empty or
        repeats a key.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(100, 5))
    >>> adata.obsm["X_first"], adata.obsm["X_copy"] = adata.obsm["X_pca"][:, :2], 2 * adata.obsm["X_pca"]
    >>> scgauge.tl.embedding_quality(adata, basis=["X_first", "X_copy"], n_neighbors=10, rng=0)
    >>> scores = adata.uns["embedding_quality"]["scores"]
    >>> scores[scores["metric"] == "recall"].set_index("basis")["value"].round(2).to_dict()
    {'X_first': 0.31, 'X_copy': 1.0}
    """
    check_adata(adata)
    names = bases_of(basis)
    use_rep = input_of_neighbors(adata) if use_rep is None else use_rep
    reference = check_obsm_key(adata, use_rep)
    embeddings = {name: check_obsm_key(adata, name, argument="basis") for name in names}
    labels = None if labels_key is None else check_obs_key(adata, labels_key, argument="labels_key")
    results = score_embeddings(reference, embeddings, n_neighbors=n_neighbors, n_query=n_query, labels=labels, rng=rng)
    first = results[names[0]]
    tables = {
        part: pd.concat([getattr(result, field).assign(basis=name) for name, result in results.items()])
        for part, field in (("scores", "scores"), ("rnx", "curve"), ("pairs", "pairs"))
    }
    written = {
        "params": {
            "basis": names,
            "use_rep": use_rep,
            "n_neighbors": first.n_neighbors.tolist(),
            "labels_key": labels_key,
            "n_query": len(first.query),
            "rng": rng,
            "metric": "euclidean",
            "k_cells": int(first.n_neighbors[0]),
        },
        "scores": tables["scores"][["basis", "metric", "k", "value", "se"]].reset_index(drop=True),
        "rnx": tables["rnx"][["basis", "k", "rnx"]].reset_index(drop=True),
        "pairs": tables["pairs"][["basis", "true", "shown"]].reset_index(drop=True),
    }
    return store(adata, copy=copy, uns={key_added: written}, obs=_columns(results, adata.n_obs, key_added))
