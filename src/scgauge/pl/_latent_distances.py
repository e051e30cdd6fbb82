from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from scgauge._core.checks import check_adata
from scgauge._core.keys import LATENT_DISTANCES
from scgauge.pl._figure import LEGEND_ROWS, LEGEND_WIDTH, close_axes, group_colors, open_axes

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Share of the cells from which on a label is named beside its strip; smaller ones stand in the legend alone.
_NAMED_FROM = 0.04
_PARTS = {"scores", "cells", "distances"}


def _strips(panel: Axes, groups: np.ndarray, colors: dict[str, tuple[float, float, float]]) -> None:
    """Draw a strip of label colours along both axes, with names on the left."""
    n_cells = len(groups)
    strip = np.array([colors[group] for group in groups])
    left = panel.inset_axes((-0.045, 0, 0.035, 1))
    below = panel.inset_axes((0, -0.045, 1, 0.035))
    left.imshow(strip[:, None], aspect="auto", interpolation="nearest")
    below.imshow(strip[None, :], aspect="auto", interpolation="nearest")
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    sizes = np.diff(np.r_[starts, n_cells])
    named = sizes >= _NAMED_FROM * n_cells
    left.set_yticks((starts + (sizes - 1) / 2)[named], groups[starts][named])
    left.tick_params(length=0, labelsize="small")
    for axis in (left.xaxis, below.xaxis, below.yaxis):
        axis.set_ticks([])
    for strip_axes in (left, below):
        strip_axes.spines[:].set_visible(False)
    for start in starts[1:]:
        panel.axhline(start - 0.5, color="white", linewidth=0.4)
        panel.axvline(start - 0.5, color="white", linewidth=0.4)


def _caption(scores: pd.DataFrame) -> str:
    overall = scores[scores["scope"] == "overall"].set_index("statistic")["value"]
    return f"within / between = {overall['ratio']:.2f}    silhouette = {overall['silhouette']:.2f}"


def latent_distances(
    adata: AnnData,
    *,
    key: str = LATENT_DISTANCES,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the distances between cells in a latent space, sorted by label.

    Dark squares on the diagonal are labels whose cells lie close together; dark rectangles off the diagonal are labels
    that the representation does not tell apart. The title has the two scores of
    :func:`scgauge.tl.latent_distances`; the colour scale ends at the 99th percentile.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.latent_distances` was run.
    key
        Key in ``adata.uns`` of its result.
    ax
        Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` is not an Axes.
    KeyError
        If ``adata.uns[key]`` does not exist or is not a result of :func:`scgauge.tl.latent_distances`.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((4, 1), dtype="float32"), obs={"type": ["B", "B", "T", "T"]})
    >>> adata.obsm["X_latent"] = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    >>> panel = scgauge.pl.latent_distances(adata, show=False)
    >>> panel.get_title(loc="left")
    'within / between = 0.10    silhouette = 0.90'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= _PARTS:
        message = (
            f"Did not find a result in adata.uns[{key!r}]. "
            "Run: scgauge.tl.latent_distances(adata, use_rep=..., groupby=...)"
        )
        raise KeyError(message)
    groups = result["cells"]["group"].astype(str).to_numpy(dtype=object)
    names, first, counts = np.unique(groups, return_index=True, return_counts=True)
    in_order = np.argsort(first)
    colors = group_colors(names[in_order])
    n_columns = -(-len(names) // LEGEND_ROWS)
    (panel,) = open_axes(1, ax, panel_size=(6.6 + LEGEND_WIDTH * (n_columns - 1), 5.0))
    distances = np.asarray(result["distances"])
    # aspect="auto": a layout engine can then make room for names and legend beside the panel
    image = panel.imshow(distances, cmap="magma", aspect="auto", vmin=0, vmax=np.percentile(distances, 99))
    panel.set(xticks=[], yticks=[])
    panel.set_title(_caption(result["scores"]), loc="left", fontsize="medium")
    _strips(panel, groups, colors)
    handles = [Patch(color=colors[names[index]], label=f"{names[index]} ({counts[index]})") for index in in_order]
    panel.legend(
        handles=handles,
        title=f"{result['params']['groupby']} (cells shown)",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.01),
        ncols=n_columns,
        frameon=False,
        fontsize="small",
        alignment="left",
    )
    scale = panel.inset_axes((1.04, 0, 0.035, 0.26))
    panel.figure.colorbar(image, cax=scale, extend="max")
    scale.set_title("Euclidean distance", fontsize="small", loc="left", pad=14)
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
