from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge.pl._figure import NEUTRAL, REAL, close_axes, group_colors, open_axes, tidy
from scgauge.pl._result_table import check_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_COLUMNS = {"n_obs", "seed", "family", "property", "statistic", "scaled"}
#: Ends of the scaled scores that are drawn.
_LOW, _HIGH = -0.25, 2.0


def learning_curve(
    table: pd.DataFrame,
    *,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the scores of a model against the number of cells that it has learnt from.

    One panel for each family of properties and one line for each property, the mean over its statistics and over seeds;
    bands reach from the smallest to the largest seed. The blue line at 0 is what real cells score, the dashed line at 1
    what a copy scores that has the property wrong. Scores beyond the axis are triangles at its end.

    Parameters
    ----------
    table
        What :func:`scgauge.tl.learning_curve` returned.
    ax
        As many Axes as there are families; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    A list of Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``table`` is not a data frame or its properties are not text, or ``ax`` holds something other than Axes.
    ValueError
        If the table lacks columns or scaled scores, or the number of Axes is wrong.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> rows = [(n, 0, "genes", "mean", "rmse", 10 / n) for n in (50, 100, 200)]
    >>> table = pd.DataFrame(rows, columns=["n_obs", "seed", "family", "property", "statistic", "scaled"])
    >>> scgauge.pl.learning_curve(table, show=False).get_title()
    'genes'
    """
    if not isinstance(table, pd.DataFrame):
        message = f"`table` is {type(table).__name__}; the data frame of scgauge.tl.learning_curve is needed."
        raise TypeError(message)
    missing = sorted(_COLUMNS - set(table.columns))
    if missing:
        message = f"`table` lacks the columns {missing}; the data frame of scgauge.tl.learning_curve is needed."
        raise ValueError(message)
    check_names(table, "family", "property")
    found = table.dropna(subset="scaled")
    found = found[found["property"] != "zero fraction of cells"]
    if found.empty:
        message = "`table` has no scaled score: floor and ceiling could not be told apart. Hold out more cells."
        raise ValueError(message)
    families = list(dict.fromkeys(found["family"]))
    panels = open_axes(len(families), ax, panel_size=(3.2, 3.9))
    for panel, family in zip(panels, families, strict=True):
        _family(panel, found[found["family"] == family])
        panel.set_title(family, fontsize="medium")
        panel.set_xlabel("Training cells")
    panels[0].set_ylabel("Scaled score\n(0: as real cells, 1: as the wrong copy)")
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _family(panel: Axes, table: pd.DataFrame) -> None:
    panel.axhline(0, color=REAL, linewidth=1.6, zorder=1)
    panel.axhline(1, color=NEUTRAL, linewidth=1.2, linestyle="--", zorder=1)
    names = list(dict.fromkeys(table["property"]))
    colors = group_colors(names)
    for name in names:
        by_seed = table[table["property"] == name].groupby(["n_obs", "seed"])["scaled"].mean()
        means = by_seed.groupby(level="n_obs").mean()
        curve = by_seed.clip(_LOW, _HIGH).groupby(level="n_obs").agg(["mean", "min", "max"])
        panel.fill_between(curve.index, curve["min"], curve["max"], color=colors[name], alpha=0.15, linewidth=0)
        panel.plot(curve.index, curve["mean"], "o-", color=colors[name], markersize=4, linewidth=1.4, label=name)
        for beyond, end, marker in ((means > _HIGH, _HIGH - 0.04, "^"), (means < _LOW, _LOW + 0.04, "v")):
            panel.plot(curve.index[beyond], np.full(int(beyond.sum()), end), marker, color=colors[name], markersize=7)
    panel.set_xscale("log")
    sizes = sorted(table["n_obs"].unique())
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45 if len(sizes) > 4 else 0)
    panel.set_xticks([], minor=True)
    panel.set_ylim(_LOW, _HIGH)
    panel.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
