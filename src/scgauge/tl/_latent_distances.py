from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obs_key, check_obsm_key
from scgauge._core.keys import LATENT_DISTANCES
from scgauge._core.rng import RNG, generator
from scgauge._core.sampling import stratified_rows
from scgauge._core.store import store
from scgauge.metrics import distance_ratio, silhouette
from scgauge.metrics._distances import iter_distances
from scgauge.metrics._points import as_groups

if TYPE_CHECKING:
    from anndata import AnnData


def _scores(points: np.ndarray, labels: pd.Categorical) -> pd.DataFrame:
    """Tidy table of the separation of the groups, overall and of each."""
    ratio = distance_ratio(points, labels)
    width = silhouette(points, labels, n_max=len(points))
    overall = {"within": ratio.within, "between": ratio.between, "ratio": ratio.ratio, "silhouette": width.score}
    by_group = {
        "within": ratio.group_within,
        "between": ratio.group_between,
        "ratio": ratio.group_ratio,
        "silhouette": width.group_score,
    }
    rows = [(statistic, "overall", "", value) for statistic, value in overall.items()]
    for statistic, values in by_group.items():
        rows += [
            (statistic, "group", str(group), float(value)) for group, value in zip(ratio.groups, values, strict=True)
        ]
    return pd.DataFrame(rows, columns=["statistic", "scope", "group", "value"])


def _distance_matrix(points: np.ndarray) -> np.ndarray:
    """All pairwise distances as float32: the picture, not a means to the scores."""
    distances = np.empty((len(points), len(points)), dtype=np.float32)
    for rows, columns, block in iter_distances(points):
        distances[rows, columns] = block
        distances[columns, rows] = block.T
    return distances


def latent_distances(
    adata: AnnData,
    *,
    use_rep: str,
    groupby: str,
    n_max: int = 2000,
    n_max_scores: int = 20_000,
    rng: RNG = None,
    key_added: str = LATENT_DISTANCES,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how well labels separate in a latent space, and keep the distances between cells for a picture.

    Two numbers say what the picture of the sorted distance matrix shows (drawn for scVI by :cite:t:`Lopez18`): the
    mean Euclidean distance of two cells of the same label divided by that of two cells of different labels (0: each
    label is a point, 1: labels mean nothing; :func:`scgauge.metrics.distance_ratio`), and the mean silhouette width
    (:func:`scgauge.metrics.silhouette`). Draw the picture with :func:`scgauge.pl.latent_distances`.

    Parameters
    ----------
    adata
        Annotated data matrix with a representation of the cells, for example the latent means of a model.
    use_rep
        Key in ``adata.obsm`` of the representation, ``(n_obs, n_latent)``.
    groupby
        Column of ``adata.obs`` with the labels. The order of its categories is the order of the picture.
    n_max
        Most cells in the picture; of more cells a sample is drawn in which every label keeps its share, at least one
        cell of each. The matrix takes ``4 * n_max**2`` bytes.
    n_max_scores
        Most cells for the scores, sampled in the same way beyond it. Their time grows with its square, their memory
        does not.
    rng
        Seed or Generator of the samples.
    key_added
        Key in ``adata.uns`` under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call and ``"n_cells_scored"``.
        ``"scores"``: data frame with the columns ``statistic`` (``"within"``, ``"between"``, ``"ratio"``,
        ``"silhouette"``), ``scope`` (``"overall"`` or ``"group"``), ``group`` (the label; empty if overall) and
        ``value``. A label with one cell has no ``within`` and no ``ratio`` (NaN) and the silhouette 0.
        ``"cells"``: data frame of the cells in the picture in the order of their labels, with the columns ``index``
        (row of ``adata``), ``cell`` (its name) and ``group``.
        ``"distances"``: :class:`numpy.ndarray` (dtype ``float32``), the Euclidean distances between these cells,
        ``(n_cells, n_cells)``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``use_rep`` or ``groupby`` does not exist.
    ValueError
        If the representation is not finite; if labels are missing, there is one only, or none with two cells; if all
        cells are at the same place; if a sample is too small to hold every label.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((4, 1), dtype="float32"), obs={"type": ["B", "B", "T", "T"]})
    >>> adata.obsm["X_latent"] = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    >>> scores = adata.uns["latent_distances"]["scores"]
    >>> scores[scores["scope"] == "overall"].set_index("statistic")["value"].round(3).to_dict()
    {'within': 1.0, 'between': 10.0, 'ratio': 0.1, 'silhouette': 0.9}
    """
    check_adata(adata)
    points = check_obsm_key(adata, use_rep)
    labels = check_obs_key(adata, groupby, argument="groupby")
    codes, groups = as_groups(labels, adata.n_obs, name=f"adata.obs[{groupby!r}]")
    for name, size, least in (("n_max", n_max, len(groups)), ("n_max_scores", n_max_scores, len(groups) + 1)):
        if size < least:
            message = f"{name}={size} is too small for the {len(groups)} labels of {groupby!r}; use at least {least}."
            raise ValueError(message)
    generated = generator(rng)
    scored = stratified_rows(codes, n_max_scores, generated)
    drawn = stratified_rows(codes, n_max, generated)
    drawn = drawn[np.argsort(codes[drawn], kind="stable")]
    result = {
        "params": {
            "use_rep": use_rep,
            "groupby": groupby,
            "n_max": n_max,
            "n_max_scores": n_max_scores,
            "rng": rng,
            "metric": "euclidean",
            "n_cells_scored": len(scored),
        },
        "scores": _scores(points[scored], pd.Categorical.from_codes(codes[scored], groups)),
        "cells": pd.DataFrame(
            {"index": drawn, "cell": adata.obs_names[drawn].astype(str), "group": groups[codes[drawn]].astype(str)}
        ),
        "distances": _distance_matrix(points[drawn]),
    }
    return store(adata, copy=copy, uns={key_added: result})
