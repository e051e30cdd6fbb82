from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from scgauge._core.checks import check_obsm_key
from scgauge._core.keys import EMBEDDING_QUALITY
from scgauge.pl._embedding_quality import basis_name, quality_result
from scgauge.pl._figure import BACKGROUND, close_axes, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

CellScore = Literal["recall", "trustworthiness", "continuity"]
#: Area of a dot in points squared for few and for many cells, and the number of cells from which on it shrinks.
_LARGEST, _SMALLEST, _SHRINKS_AT = 14.0, 0.5, 1500
#: Share of the cells below the darkest colour: a few lost cells shall not take all contrast from the others.
_CLIPPED = 1


def cell_quality(
    adata: AnnData,
    *,
    basis: str,
    metrics: Sequence[CellScore] = ("trustworthiness", "continuity"),
    key: str = EMBEDDING_QUALITY,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw an embedding coloured by how far each cell's surroundings can be trusted.

    Dark regions mislead: cells with a low ``trustworthiness`` lie beside cells that are far from them in truth, those
    with a low ``continuity`` were torn from their true neighbours. The colour scale starts at the first percentile.
    Cells that were no query of :func:`scgauge.tl.embedding_quality` are grey; the worst cells are drawn last.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.embedding_quality` was run.
    basis
        Key in ``adata.obsm`` of one of its embeddings, of which the first two columns are drawn.
    metrics
        Scores of the cells, one panel each: ``"recall"``, ``"trustworthiness"``, ``"continuity"``.
    key
        Its ``key_added``.
    ax
        Axes to draw into, one for each score; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of them if there are several scores, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If the result or the coordinates do not exist, or ``basis`` was not scored.
    ValueError
        If a score is unknown; if the coordinates have one column only; if ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(100, 5))
    >>> adata.obsm["X_first"] = adata.obsm["X_pca"][:, :2]
    >>> scgauge.tl.embedding_quality(adata, basis="X_first", n_neighbors=10, rng=0)
    >>> panel = scgauge.pl.cell_quality(adata, basis="X_first", metrics=["recall"], show=False)
    >>> panel.get_title()
    'recall, k=10'
    """
    result = quality_result(adata, key)
    scored = [str(name) for name in result["params"]["basis"]]
    if basis not in scored:
        message = f"basis={basis!r} was not scored in adata.uns[{key!r}]; found {scored}."
        raise KeyError(message)
    unknown = [metric for metric in metrics if metric not in get_args(CellScore)]
    if unknown or not len(metrics):
        message = f"metrics={list(metrics)} needs one or more of {list(get_args(CellScore))}."
        raise ValueError(message)
    columns = [f"{key}_{basis}_{metric}" for metric in metrics]
    missing = [column for column in columns if column not in adata.obs]
    if missing:
        message = f"Did not find {missing} in adata.obs. Run: scgauge.tl.embedding_quality(adata, basis={basis!r})"
        raise KeyError(message)
    points = check_obsm_key(adata, basis, argument="basis")
    if points.shape[1] < 2:
        message = f"adata.obsm[{basis!r}] has {points.shape[1]} column; two are needed to draw."
        raise ValueError(message)
    axes = open_axes(len(columns), ax, panel_size=(3.8, 3.2))
    size = float(np.clip(_LARGEST * _SHRINKS_AT / adata.n_obs, _SMALLEST, _LARGEST))
    for panel, metric, column in zip(axes, metrics, columns, strict=True):
        values = adata.obs[column].to_numpy(dtype=float)
        asked = np.isfinite(values)
        panel.scatter(points[~asked, 0], points[~asked, 1], color=BACKGROUND, s=size, linewidths=0, rasterized=True)
        order = np.flatnonzero(asked)[np.argsort(-values[asked], kind="stable")]
        lowest = float(np.percentile(values[asked], _CLIPPED))
        image = panel.scatter(
            points[order, 0],
            points[order, 1],
            c=values[order],
            cmap="magma",
            vmin=min(lowest, 0.99),
            vmax=1,
            s=size if asked.all() else max(size, 6.0),
            linewidths=0,
            rasterized=True,
        )
        panel.figure.colorbar(image, ax=panel, extend="min", shrink=0.7)
        name = basis_name(basis)
        panel.set(xticks=[], yticks=[], xlabel=f"{name} 1", ylabel=f"{name} 2")
        panel.set_title(f"{metric}, k={int(result['params']['k_cells'])}", fontsize="medium")
        panel.spines[["top", "right"]].set_visible(False)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
