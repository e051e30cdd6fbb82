from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import COMPARE_EMBEDDINGS
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge.metrics import linear_cka, procrustes
from scgauge.metrics._embedding_quality import neighbor_numbers, query_rows
from scgauge.metrics._shared_neighbors import shared_neighbors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def compare_embeddings(
    adata: AnnData,
    *,
    basis: Sequence[str],
    n_neighbors: int | Sequence[int] = (15, 50),
    n_query: int | None = None,
    rng: RNG = None,
    key_added: str = COMPARE_EMBEDDINGS,
    copy: bool = False,
) -> AnnData | None:
    """Compare embeddings of the same cells with each other, without saying which is right.

    Do two runs, two methods or two models show the same? Neighbours in common ask for the same local structure, the
    Procrustes disparity (:func:`scgauge.metrics.procrustes`) for the same arrangement up to rotation, reflection and
    scale, linear CKA (:func:`scgauge.metrics.linear_cka`) for the same main directions in spaces of any dimension. Draw
    with :func:`scgauge.pl.compare_embeddings`.

    Parameters
    ----------
    adata
        Annotated data matrix with the embeddings.
    basis
        Keys in ``adata.obsm``, at least two.
    n_neighbors
        Numbers of neighbours, each below half the number of cells.
    n_query
        Number of random cells whose neighbours are compared; ``None`` takes every cell up to 10,000 and 1000 beyond.
    rng
        Seed or Generator of these cells and of the order of cells at equal distance.
    key_added
        Key in ``adata.uns`` under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call. ``"scores"``: data frame with the columns ``first``, ``second`` (each
        pair of embeddings once), ``metric`` (``"recall"``, ``"procrustes"``, ``"cka"``), ``k`` (0 where a score has
        none), ``value`` and ``se`` (0 where nothing was sampled).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If an embedding does not exist.
    ValueError
        If there are fewer than two different embeddings; if coordinates are not finite or put all cells at one place;
        if a number of neighbours or of query cells is out of range.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_one"] = np.random.default_rng(0).normal(size=(100, 2))
    >>> adata.obsm["X_other"] = adata.obsm["X_one"] @ [[0.0, 2.0], [-2.0, 0.0]]
    >>> scgauge.tl.compare_embeddings(adata, basis=["X_one", "X_other"], n_neighbors=10, rng=0)
    >>> adata.uns["compare_embeddings"]["scores"].set_index("metric")["value"].round(6).to_dict()
    {'recall': 1.0, 'procrustes': 0.0, 'cka': 1.0}
    """
    check_adata(adata)
    names = [basis] if isinstance(basis, str) else list(basis)
    if len(names) < 2 or len(set(names)) < len(names):
        message = f"basis={basis!r} needs two or more different keys of adata.obsm."
        raise ValueError(message)
    spaces = [check_obsm_key(adata, name, argument="basis") for name in names]
    numbers = neighbor_numbers(n_neighbors, adata.n_obs)
    generated = generator(rng)
    rows = query_rows(n_query, adata.n_obs, generated)
    ties = generated.permutation(adata.n_obs)
    missing = 1 - len(rows) / adata.n_obs
    whole = {pair: procrustes(spaces[pair[0]], spaces[pair[1]]) for pair in combinations(range(len(names)), 2)}
    table = []
    for k in numbers:
        shares = shared_neighbors(spaces, rows, int(k), ties)
        values, errors = shares.mean(axis=0), shares.std(axis=0, ddof=1) * np.sqrt(missing / len(rows))
        table += [(names[i], names[j], "recall", int(k), values[i, j], errors[i, j]) for i, j in whole]
    for (i, j), found in whole.items():
        table.append((names[i], names[j], "procrustes", 0, found.disparity, 0.0))
        table.append((names[i], names[j], "cka", 0, linear_cka(spaces[i], spaces[j]), 0.0))
    result = {
        "params": {"basis": names, "n_neighbors": numbers.tolist(), "n_query": len(rows), "rng": rng},
        "scores": pd.DataFrame(table, columns=["first", "second", "metric", "k", "value", "se"]),
    }
    return store(adata, copy=copy, uns={key_added: result})
