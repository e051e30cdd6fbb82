from __future__ import annotations

from typing import TYPE_CHECKING

from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy
from scgauge.pl._result_table import check_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def single_gene_inference(
    table: pd.DataFrame, *, ax: list[Axes] | None = None, show: bool | None = None, return_fig: bool = False
) -> Drawn:
    """Draw how well genes are predicted from neighbours in a graph, in random graphs, and from all genes.

    Every point is a gene. Left: above the line the graph knows more than random graphs with the same numbers of
    neighbours. Right: below the line all genes know more than the neighbours.

    Parameters
    ----------
    table
        What :func:`scgauge.tl.single_gene_inference` returned.
    ax
        Two Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The list of Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``table`` is no such result, or ``ax`` holds something else than Axes.
    ValueError
        If ``table`` has no row, or ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> columns = {"graph": [0.8], "random": [0.7], "random_sd": [0.02], "all_genes": [0.9], "padj": [0.1]}
    >>> table = pd.DataFrame({"gene": ["CD3E"], "n_neighbors": [5], **columns, "difference": [0.1]})
    >>> left, right = scgauge.pl.single_gene_inference(table, show=False)
    >>> left.get_title(loc="left")
    'graph better: 100 % of 1 genes'
    """
    needed = {"gene", "n_neighbors", "graph", "random", "random_sd", "all_genes", "padj", "difference"}
    check_table(table, needed, "single_gene_inference")
    left, right = open_axes(2, ax, panel_size=(4.0, 3.8))
    columns = ["graph", "random", "all_genes"]
    low, high = table[columns].min().min() - 0.03, min(1.0, table[columns].max().max() + 0.03)
    found = (table["padj"] <= 0.05).to_numpy()
    left.errorbar(
        table["random"], table["graph"], xerr=table["random_sd"], fmt="none", ecolor="#C8C8C8", elinewidth=0.6
    )
    for inside, color, name in ((~found, "#7F7F7F", "other"), (found, SYNTHETIC, "adjusted p ≤ 0.05")):
        if inside.any():
            left.scatter(table["random"][inside], table["graph"][inside], s=10, color=color, label=name, zorder=3)
    left.set(xlabel="AUC, neighbours in random graphs (± sd)", ylabel="AUC, neighbours in the graph")
    better = (table["difference"] > 0).mean()
    left.set_title(f"graph better: {100 * better:.0f} % of {len(table)} genes", loc="left", fontsize="medium")
    if found.any():
        left.legend(frameon=False, fontsize="small", loc="lower right")
    right.scatter(table["all_genes"], table["graph"], s=10, color=REAL)
    right.set(xlabel="AUC, all genes", ylabel="AUC, neighbours in the graph")
    more = (table["all_genes"] > table["graph"]).mean()
    right.set_title(f"all genes better: {100 * more:.0f} %", loc="left", fontsize="medium")
    for panel in (left, right):
        panel.plot([low, high], [low, high], color=NEUTRAL, linewidth=0.8)
        panel.set(xlim=(low, high), ylim=(low, high))
    tidy([left, right])
    return close_axes([left, right], ax=ax, show=show, return_fig=return_fig)
