from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from scgauge._core.checks import check_obs_key
from scgauge._core.keys import LOADINGS
from scgauge.pl._figure import LEGEND_ROWS, NEUTRAL, close_axes, group_colors, open_axes, tidy
from scgauge.pl._loadings import chosen_factors, loadings_result, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Share of the half width of the cloud that the longest arrow takes.
_ARROW = 0.85


def _apart(heights: np.ndarray, gap: float) -> np.ndarray:
    """Return ascending heights that are at least `gap` apart, as close to the given ones as can be."""
    if not len(heights):
        return heights
    room = gap * np.arange(len(heights))
    return isotonic_regression(heights - room).x + room


def _arrows(panel: Axes, arrows: np.ndarray, genes: list[str], reach: np.ndarray) -> None:
    """Draw gene arrows from the origin, each axis in the unit of its factor, and names that do not overlap."""
    scale = _ARROW * np.min(reach / np.maximum(np.abs(arrows).max(0), 1e-12))
    ends = scale * arrows
    for end in ends:
        panel.annotate(
            "", xy=end, xytext=(0, 0), arrowprops={"arrowstyle": "-|>", "color": NEUTRAL, "lw": 1.1, "shrinkA": 0}
        )
    # Names at their arrow's tip, moved up or down as little as possible where others on the same side are close.
    height = 0.085 * reach[1]
    for side in (-1, 1):
        members = [index for index in np.argsort(ends[:, 1]) if (ends[index, 0] >= 0) == (side > 0)]
        for index, y in zip(members, _apart(ends[members, 1], height), strict=True):
            panel.annotate(
                genes[index],
                xy=ends[index],
                xytext=(ends[index, 0] + side * 0.03 * reach[0], y),
                ha="left" if side > 0 else "right",
                va="center",
                fontsize="small",
                fontstyle="italic",
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
                zorder=5,
            )
    # Room for the names beside the cloud.
    left, right = panel.get_xlim()
    room = 0.45 * reach[0]
    panel.set_xlim(min(left, ends[:, 0].min() - room * (ends[:, 0] < 0).any()), max(right, ends[:, 0].max() + room))


def _cells(panel: Axes, points: np.ndarray, color: pd.Series | None) -> None:
    size = float(np.clip(9000 / len(points), 1.5, 18))
    if color is None:
        panel.scatter(points[:, 0], points[:, 1], s=size, color="#9db4c8", linewidths=0, rasterized=True)
        return
    if color.dtype.kind in "if":
        image = panel.scatter(
            points[:, 0], points[:, 1], s=size, c=color.to_numpy(), cmap="viridis", linewidths=0, rasterized=True
        )
        panel.figure.colorbar(image, ax=panel, shrink=0.6, label=str(color.name))
        return
    groups = color.astype(str).to_numpy()
    names = [str(name) for name in color.cat.categories] if hasattr(color, "cat") else sorted(set(groups))
    names = [name for name in names if name in set(groups)]
    for name, shade in group_colors(names).items():
        x, y = points[groups == name].T
        panel.scatter(x, y, s=size, color=shade, linewidths=0, label=name, rasterized=True)
    panel.legend(
        title=str(color.name), loc="upper left", bbox_to_anchor=(1.01, 1.01), frameon=False, fontsize="small",
        ncols=-(-len(names) // LEGEND_ROWS), markerscale=(40 / size) ** 0.5, alignment="left",
    )  # fmt: skip


def factor_scatter(
    adata: AnnData,
    *,
    key: str = LOADINGS,
    factors: Sequence[str] | None = None,
    color: str | None = None,
    n_genes: int = 8,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw cells on two factors with arrows for the genes that the factors act on most, a biplot.

    Cells in the direction of an arrow express its gene more. Arrows share one scale, which is free: only their
    directions and relative lengths mean something.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.loadings` was run.
    key
        Key in ``adata.uns`` of its result.
    factors
        Two factors, by name; the first two of the result if ``None``.
    color
        Column of ``adata.obs`` to colour cells by: groups or numbers.
    n_genes
        Number of arrows: the genes with the longest loading vectors on the two factors.
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
        If there is no result of :func:`scgauge.tl.loadings`, no such factor or no such column.
    ValueError
        If there are not two factors or the column has missing values.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> scgauge.tl.loadings(adata, model, order=None)
    >>> scgauge.pl.factor_scatter(adata, color="group", show=False).get_xlabel()
    'Z_0'
    """
    result = loadings_result(adata, key)
    names = chosen_factors(result, factors, 2)
    if len(names) != 2:
        message = f"Found {len(names)} factors {names}; a scatter plot needs two."
        raise ValueError(message)
    column = None if color is None else check_obs_key(adata, color, argument="color")
    if n_genes < 0:
        message = f"n_genes={n_genes} was given; it must not be negative."
        raise ValueError(message)
    known = result["factors"]["factor"].astype(str).tolist()
    picked = [known.index(name) for name in names]
    points = np.asarray(adata.obsm[f"X_{key}"])[:, picked]
    arrows = np.nan_to_num(np.asarray(adata.varm[key], dtype=float)[:, picked])
    (panel,) = open_axes(1, ax, panel_size=(6.4 if color else 5.0, 4.6))
    panel.margins(0.08)
    _cells(panel, points, column)
    longest = np.argsort(-np.linalg.norm(arrows, axis=1), kind="stable")[:n_genes]
    if len(longest):
        reach = np.abs(points).max(0)
        _arrows(panel, arrows[longest], adata.var_names[longest].astype(str).tolist(), reach)
    for axis, name in ((panel.xaxis, names[0]), (panel.yaxis, names[1])):
        axis.set_label_text(title_of(result, name).replace("\n", ", "))
    panel.axhline(0, color=NEUTRAL, linewidth=0.5, zorder=0)
    panel.axvline(0, color=NEUTRAL, linewidth=0.5, zorder=0)
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
