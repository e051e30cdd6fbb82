from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obs_key
from scgauge.pl._figure import close_axes, group_colors, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Individuals and items that are drawn if none are named.
_SUBJECTS, _ITEMS = 4, 3
_COLUMNS = {"subject", "time", "item", "mean", "lower", "upper"}


def individual_trajectories(
    table: pd.DataFrame,
    *,
    visits: AnnData | None = None,
    subject_key: str = "subject",
    time_key: str = "time",
    subjects: Sequence[str] | None = None,
    items: Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw predicted items of individuals over time, with bands and the values that were measured.

    One panel for each individual, one colour for each item; of several instruments (a column ``instrument``) one row of
    panels each. Where dots lie outside of a band for measurements
    (``observed=True``) more often than its level says, the model is too sure.

    Parameters
    ----------
    table
        Table of :meth:`scgauge.model.ODEVI.get_bands`.
    visits
        Visits whose measured values are drawn as dots; ``None`` for none.
    subject_key, time_key
        Columns of ``visits.obs``.
    subjects
        Individuals to draw; the first four if ``None``.
    items
        Items to draw; the first three, of each instrument, if ``None``.
    ax
        One Axes for each individual (of several instruments, row by row); a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes (a list if there are several), or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``table`` is not a DataFrame, or ``ax`` holds something other than Axes.
    KeyError
        If a column, an individual or an item does not exist.
    ValueError
        If ``ax`` does not hold one Axes for each individual and instrument.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> table = pd.DataFrame({"subject": "anna", "time": [0.0, 1.0], "item": "walk", "mean": [1.0, 2.0]})
    >>> table["lower"], table["upper"] = table["mean"] - 0.5, table["mean"] + 0.5
    >>> panel = scgauge.pl.individual_trajectories(table, show=False)
    >>> panel.get_title(loc="left")
    'anna'
    """
    if not isinstance(table, pd.DataFrame):
        message = f"`table` is {type(table).__name__}; pass the table of model.get_bands(times=...)."
        raise TypeError(message)
    missing = sorted(_COLUMNS - set(table.columns))
    if missing:
        message = f"`table` has no columns {missing}; pass the table of model.get_bands(times=...)."
        raise KeyError(message)
    chosen = _chosen(table, "subject", subjects, _SUBJECTS)
    shown = _shown(table, items)
    if visits is not None:
        check_adata(visits, name="visits")
        for key, argument in ((subject_key, "subject_key"), (time_key, "time_key")):
            check_obs_key(visits, key, argument=argument)
    colors = group_colors([item for mine in shown.values() for item in mine])
    panels = open_axes(len(chosen), ax, n_rows=len(shown), panel_size=(2.9, 2.8))
    for row, (instrument, mine) in enumerate(shown.items()):
        line_of_panels = panels[row * len(chosen) : (row + 1) * len(chosen)]
        for panel, subject in zip(line_of_panels, chosen, strict=True):
            for item in mine:
                line = table[(table["subject"].astype(str) == subject) & (table["item"].astype(str) == item)]
                line = line.sort_values("time")
                between = line["lower"], line["upper"]
                panel.fill_between(line["time"], *between, color=colors[item], alpha=0.2, linewidth=0)
                panel.plot(line["time"], line["mean"], color=colors[item], label=item)
                if visits is not None:
                    rows = np.flatnonzero(visits.obs[subject_key].astype(str).to_numpy() == subject)
                    values = visits[rows, item].X
                    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
                    times = visits.obs[time_key].to_numpy()[rows]
                    panel.scatter(times, values.ravel(), s=14, color=colors[item], zorder=3)
            if row == 0:
                panel.set_title(subject, loc="left", fontsize="medium")
            if row == len(shown) - 1:
                panel.set_xlabel(time_key)
        line_of_panels[0].set_ylabel(instrument)
        line_of_panels[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small")
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _shown(table: pd.DataFrame, items: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the items to draw in each row of panels, by what is written beside it."""
    if "instrument" not in table:
        return {"item": _chosen(table, "item", items, _ITEMS)}
    each = table.drop_duplicates("item").groupby("instrument", sort=False, observed=True)
    if items is None:
        return {str(name): _chosen(mine, "item", None, _ITEMS) for name, mine in each}
    wanted = _chosen(table, "item", items, _ITEMS)
    of = {str(name): set(mine["item"].astype(str)) for name, mine in each}
    rows = {name: [item for item in wanted if item in mine] for name, mine in of.items()}
    return {name: mine for name, mine in rows.items() if mine}


def _chosen(table: pd.DataFrame, column: str, wanted: Sequence[str] | None, most: int) -> list[str]:
    """Return the names to draw, in the order asked for."""
    known = list(dict.fromkeys(table[column].astype(str)))
    if wanted is None:
        return known[:most]
    unknown = sorted({str(name) for name in wanted} - set(known))
    if unknown or not len(wanted):
        message = f"`table` has no {column} {unknown}; it has {known[:10]}{' ...' if len(known) > 10 else ''}."
        raise KeyError(message)
    return [str(name) for name in wanted]
