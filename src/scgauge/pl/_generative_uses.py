"""Figures of what a generative model is used for: scores of imputation and of augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.pl._figure import NEUTRAL, SYNTHETIC, close_axes, group_colors, open_axes, tidy
from scgauge.pl._result_table import check_names, check_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def imputation_score(
    table: pd.DataFrame, *, ax: list[Axes] | None = None, show: bool | None = None, return_fig: bool = False
) -> Drawn:
    """Draw how well methods predict held-out molecules.

    Left: share of the deviance of the gene means that a method removes, with two standard errors; below 0 it is worse
    than gene means. Right: share of the genes that it predicts better than their mean.

    Parameters
    ----------
    table
        What :func:`scgauge.tl.imputation_score` returned.
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
    >>> rows = [("model", "skill", 0.1, 0.01), ("model", "genes_better", 0.8, None)]
    >>> table = pd.DataFrame(rows, columns=["method", "statistic", "value", "se"])
    >>> len(scgauge.pl.imputation_score(table, show=False))
    2
    """
    check_table(table, {"method", "statistic", "value", "se"}, "imputation_score")
    check_names(table, "method")
    left, right = open_axes(2, ax, panel_size=(4.2, 2.6))
    skill = table[(table["statistic"] == "skill") & (table["method"] != "gene means")].iloc[::-1]
    better = table[(table["statistic"] == "genes_better") & (table["method"] != "gene means")].iloc[::-1]
    colors = [SYNTHETIC if method == "model" else "#B8B8B8" for method in skill["method"]]
    left.barh(skill["method"], skill["value"], xerr=2 * skill["se"].astype(float), color=colors, height=0.6)
    left.axvline(0, color=NEUTRAL, linewidth=1)
    left.set_xlabel("deviance removed (gene means: 0)")
    left.set_title("held-out molecules", loc="left", fontsize="medium")
    right.barh(better["method"], better["value"].astype(float), color=colors, height=0.6)
    right.axvline(0.5, color=NEUTRAL, linewidth=1, linestyle="--")
    right.set(xlabel="genes better than their mean", xlim=(0, 1), yticks=[])
    right.set_title("genes", loc="left", fontsize="medium")
    tidy([left, right])
    return close_axes([left, right], ax=ax, show=show, return_fig=return_fig)


def augmentation_gain(
    table: pd.DataFrame,
    *,
    statistic: str = "average_precision",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how well a classifier finds real cells of a rare label with different cells added.

    Points are repeats, lines join their means. Synthetic cells help where their line is above those of copies and
    class weights; the line of real cells is what more data would give.

    Parameters
    ----------
    table
        What :func:`scgauge.tl.augmentation_gain` returned.
    statistic
        ``"average_precision"``, ``"auc"`` or ``"f1"``.
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
        If ``table`` is no such result, or ``ax`` is not an Axes.
    ValueError
        If ``table`` has no row or not the ``statistic``.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> rows = [(0, 10, "nothing", "auc", 0.8), (0, 10, "copies", "auc", 0.9)]
    >>> table = pd.DataFrame(rows, columns=["repeat", "n_kept", "added", "statistic", "value"])
    >>> scgauge.pl.augmentation_gain(table, statistic="auc", show=False).get_ylabel()
    'auc'
    """
    check_table(table, {"repeat", "n_kept", "added", "statistic", "value"}, "augmentation_gain")
    check_names(table, "added")
    rows = table[table["statistic"] == statistic]
    if rows.empty:
        message = f"statistic={statistic!r} is not in the table; choose from {sorted(set(table['statistic']))}."
        raise ValueError(message)
    (panel,) = open_axes(1, ax, panel_size=(5.4, 3.4))
    kinds = list(dict.fromkeys(rows["added"]))
    colors = group_colors(kinds)
    sizes = np.sort(rows["n_kept"].unique())
    for number, kind in enumerate(kinds):
        part = rows[rows["added"] == kind]
        shift = 0.04 * (number - (len(kinds) - 1) / 2)
        place = np.searchsorted(sizes, part["n_kept"]) + shift
        panel.scatter(place, part["value"], s=14, color=colors[kind], alpha=0.6, linewidths=0)
        mean = part.groupby("n_kept")["value"].mean()
        width = 3 if kind == "synthetic cells" else 1.5
        panel.plot(np.searchsorted(sizes, mean.index) + shift, mean, color=colors[kind], linewidth=width, label=kind)
    panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    panel.set(xlabel="real cells of the label", ylabel=statistic.replace("_", " "))
    panel.legend(frameon=False, fontsize="small", title="added", loc="upper left", bbox_to_anchor=(1.0, 1.02))
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
