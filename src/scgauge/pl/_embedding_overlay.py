from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from scgauge._core.checks import check_adata, check_obs_key, check_obsm_key
from scgauge.metrics._points import as_groups
from scgauge.pl._embedding_quality import basis_name
from scgauge.pl._figure import (
    BACKGROUND,
    LEGEND_ROWS,
    LEGEND_WIDTH,
    REAL,
    SYNTHETIC,
    close_axes,
    group_colors,
    open_axes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Area of a dot in points squared for few and for many cells, and the number of cells from which on it shrinks.
_LARGEST, _SMALLEST, _SHRINKS_AT = 14.0, 0.5, 1500


def _points(adata: AnnData, basis: str, name: str) -> np.ndarray:
    check_adata(adata, name=name)
    if basis not in adata.obsm:
        message = (
            f"Did not find basis={basis!r} in {name}.obsm; found {list(adata.obsm.keys())}. Embed both together: "
            "both = anndata.concat({'real': real, 'synthetic': synthetic}, label='source'), then pass its two parts."
        )
        raise KeyError(message)
    points = check_obsm_key(adata, basis, argument="basis")
    if points.shape[1] < 2:
        message = f"{name}.obsm[{basis!r}] has {points.shape[1]} column; two are needed to draw."
        raise ValueError(message)
    return points[:, :2]


def _legend(panel: Axes, colors: dict[str, object], title: str | None = None) -> None:
    """Name the colours to the right of the panel, where they cover no cell."""
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=color, label=name)
        for name, color in colors.items()
    ]
    panel.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        ncols=-(-len(handles) // LEGEND_ROWS),
        frameon=False,
        fontsize="small",
        alignment="left",
        handletextpad=0.2,
    )


def embedding_overlay(
    real: AnnData,
    synthetic: AnnData,
    *,
    basis: str = "X_umap",
    groupby: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw real and synthetic cells together in one embedding.

    The first panel colours the cells by source, drawn in random order so that neither source covers the other. With
    ``groupby`` a second panel shows the labels of the real cells over the synthetic cells in grey. The coordinates of
    both must come from one embedding of all cells: two embeddings made apart share no axes.

    Parameters
    ----------
    real
        Real cells.
    synthetic
        Synthetic cells. To embed both together, join them, ``both = anndata.concat({"real": real, "synthetic":
        synthetic}, label="source", index_unique="-")``, embed ``both`` as you embed cells, and pass its two parts,
        ``both[both.obs["source"] == "real"]`` and the rest.
    basis
        Key in ``obsm`` of both with the shared coordinates, of which the first two columns are drawn.
    groupby
        Column of ``real.obs`` with labels; no second panel if ``None``.
    ax
        Axes to draw into, two with ``groupby``; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of two with ``groupby``, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If a data set is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If ``basis`` or ``groupby`` does not exist.
    ValueError
        If coordinates are not finite or have one column only; if labels are missing; if ``ax`` has the wrong number of
        Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> real, synthetic = (ad.AnnData(np.ones((30, 1), dtype="float32")) for _ in range(2))
    >>> real.obsm["X_umap"], synthetic.obsm["X_umap"] = rng.normal(size=(2, 30, 2))
    >>> panel = scgauge.pl.embedding_overlay(real, synthetic, show=False)
    >>> [text.get_text() for text in panel.get_legend().get_texts()]
    ['real (30)', 'synthetic (30)']
    """
    ours, theirs = _points(real, basis, "real"), _points(synthetic, basis, "synthetic")
    codes, groups = np.zeros(0, dtype=np.int64), np.zeros(0)
    if groupby is not None:
        codes, groups = as_groups(check_obs_key(real, groupby, argument="groupby"), real.n_obs)
    width = 4.6 + LEGEND_WIDTH / 2 * (len(groups) // LEGEND_ROWS)
    axes = open_axes(1 if groupby is None else 2, ax, panel_size=(width, 3.4))
    n_cells = len(ours) + len(theirs)
    size = float(np.clip(_LARGEST * _SHRINKS_AT / n_cells, _SMALLEST, _LARGEST))
    dots: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}

    order = np.random.default_rng(0).permutation(n_cells)
    color = np.repeat(np.array([REAL, SYNTHETIC]), [len(ours), len(theirs)])
    everything = np.concatenate([ours, theirs])
    x, y = everything[order].T
    axes[0].scatter(x, y, c=color[order], alpha=0.6, **dots)
    _legend(axes[0], {f"real ({len(ours)})": REAL, f"synthetic ({len(theirs)})": SYNTHETIC})

    if groupby is not None:
        colors = group_colors(groups)
        shades = np.array(list(colors.values()))
        order = np.random.default_rng(0).permutation(len(ours))
        axes[1].scatter(theirs[:, 0], theirs[:, 1], color=BACKGROUND, zorder=1, **dots)
        x, y = ours[order].T
        axes[1].scatter(x, y, c=shades[codes[order]], zorder=2, **dots)
        _legend(axes[1], {**colors, "synthetic": BACKGROUND}, title=groupby)

    name = basis_name(basis)
    for panel in axes:
        panel.set(xticks=[], yticks=[], xlabel=f"{name} 1", ylabel=f"{name} 2")
        panel.spines[["top", "right"]].set_visible(False)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
