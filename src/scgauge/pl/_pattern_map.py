from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.pl._figure import NEUTRAL, REAL, close_axes, open_axes, tidy
from scgauge.tl import PatternMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def pattern_map(
    result: PatternMap, *, ax: Axes | None = None, show: bool | None = None, return_fig: bool = False
) -> Drawn:
    """Draw patterns of genes by their distance in the latent space.

    The area of a point is the share of cells with the pattern; a line leads to the genes that are expressed.

    Parameters
    ----------
    result
        Result of :func:`scgauge.tl.pattern_map`.
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
        If ``result`` is no such result.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> pairs = ad.AnnData((z > 0).astype("float32"), obsm={"X_latent": z})
    >>> pairs.var_names = ["Sst", "Vip"]
    >>> panel = scgauge.pl.pattern_map(scgauge.tl.pattern_map(pairs, genes=["Sst", "Vip"]), show=False)
    >>> sorted(text.get_text() for text in panel.texts)
    ['Sst', 'Sst, Vip', 'Vip', 'none']
    """
    if not isinstance(result, PatternMap):
        message = f"`result` is {type(result).__name__}. Run: result = scgauge.tl.pattern_map(model, genes=table)"
        raise TypeError(message)
    (panel,) = open_axes(1, ax, panel_size=(5.2, 4.4))
    table = result.patterns
    panel.scatter(table["x"], table["y"], s=40 + 1500 * table["share"], color=REAL, alpha=0.5, linewidths=0)
    # Names stand in a column, in the order of the points from top to bottom: frequent patterns are often close.
    heights = (len(table) - table["y"].rank(ascending=False, method="first") + 0.5) / len(table)
    line = {"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 0, "color": NEUTRAL, "linewidth": 0.6}
    for row, height in zip(table.itertuples(), heights, strict=True):
        panel.annotate(
            _expressed(row.pattern, result.genes), (row.x, row.y), xytext=(1.06, height), textcoords="axes fraction",
            ha="left", va="center", fontsize="x-small", arrowprops=line,
        )  # fmt: skip
    half = 0.7 * max(np.ptp(table["x"]), np.ptp(table["y"]), 1e-6)
    middle = {axis: (table[axis].min() + table[axis].max()) / 2 for axis in "xy"}
    panel.set(**{f"{axis}lim": (at - half, at + half) for axis, at in middle.items()}, aspect="equal")
    panel.set_xlabel("first coordinate")
    panel.set_ylabel("second coordinate")
    panel.set_title(
        f"{len(result.genes)} genes; {100 * result.explained:.0f} % of the distances shown", fontsize="medium"
    )
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)


def _expressed(pattern: str, genes: list[str]) -> str:
    """Names of the genes that a pattern marks."""
    names = [gene for gene, mark in zip(genes, pattern, strict=True) if mark == "1"]
    return ", ".join(names) or "none"
