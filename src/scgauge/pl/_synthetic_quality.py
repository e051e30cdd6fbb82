from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from matplotlib.lines import Line2D

from scgauge._core.checks import check_adata
from scgauge._core.keys import SYNTHETIC_QUALITY
from scgauge.pl._figure import BACKGROUND, NEUTRAL, REAL, close_axes, group_colors, open_axes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Ends of the axis; what lies beyond is drawn at the end as a triangle.
_LOW, _HIGH = -0.3, 1.6
#: Height of a row, in inches.
_ROW = 0.21


def _scores(adata: AnnData, key: str, group: str, name: str) -> pd.DataFrame:
    check_adata(adata, name=name)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or "scores" not in result:
        message = (
            f"Did not find a result in {name}.uns[{key!r}]. "
            "Run: scgauge.tl.synthetic_quality(real, synthetic, holdout=...)"
        )
        raise KeyError(message)
    table = result["scores"]
    known = list(dict.fromkeys(table["group"]))
    if group not in known:
        message = f"Did not find group={group!r}; found {[item for item in known if item]}."
        raise ValueError(message)
    table = table[(table["group"] == group) & (table["statistic"] != "p-value")]
    # The zero fraction of a cell is its detected genes from the other side.
    return table[table["property"] != "zero fraction of cells"].set_index(["family", "property", "statistic"])


def _names(index: pd.MultiIndex) -> list[str]:
    return [f"{row_property}, {statistic}" for _, row_property, statistic in index]


def synthetic_quality(
    adata: AnnData | Mapping[str, AnnData],
    *,
    key: str = SYNTHETIC_QUALITY,
    group: str = "",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the scoreboard of synthetic cells.

    One row for each statistic of :func:`scgauge.tl.synthetic_quality`. The blue line at 0 is what real cells score, the
    dashed line at 1 what a copy scores that has the property wrong; left is better, and bars are two standard errors.
    Triangles lie beyond the axis. Where real cells and the copy score alike, because cells are few or the copy keeps
    the property, a score between them says nothing. The title has the mean of each family.

    Parameters
    ----------
    adata
        Synthetic cells on which :func:`scgauge.tl.synthetic_quality` was run, or several by name, for example
        ``{"CountVI": first, "Poisson": second}``.
    key
        Key in ``adata.uns`` of the result.
    group
        Group to draw; all cells if empty.
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
        If one of the data sets is not an AnnData, or ``ax`` is not an Axes.
    KeyError
        If ``adata.uns[key]`` does not exist or is not a result of :func:`scgauge.tl.synthetic_quality`.
    ValueError
        If the group was not scored, or no data set is given.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(400, 20, rng=0)
    >>> real, other = adata[:300].copy(), adata[300:].copy()
    >>> scgauge.tl.synthetic_quality(real, other, n_splits=2, rng=0)
    >>> scgauge.pl.synthetic_quality(other, show=False).get_xlabel()
    'Scaled score (0: as real cells, 1: as the wrong copy)'
    """
    single = isinstance(adata, AnnData) or not hasattr(adata, "items")
    named = {"": adata} if single else dict(adata)
    if not named:
        message = "`adata` is empty; at least one set of synthetic cells is needed."
        raise ValueError(message)
    tables = {
        name: _scores(item, key, group, "adata" if single else f"adata[{name!r}]") for name, item in named.items()
    }
    index = next(iter(tables.values())).index
    (panel,) = open_axes(1, ax, panel_size=(6.6, 1.1 + _ROW * len(index)))
    colors = {"": REAL} if single else group_colors(list(tables))
    _background(panel, index)
    for position, (name, table) in enumerate(tables.items()):
        shift = 0.0 if single else 0.5 * (position + 0.5) / len(tables) - 0.25
        _dots(panel, table.reindex(index), shift, "#222222" if single else colors[name])
    nowhere = np.all([table.reindex(index)["scaled"].isna().to_numpy() for table in tables.values()], axis=0)
    for row in np.flatnonzero(nowhere).tolist():
        panel.text(
            0.03, row, "real cells and copy score alike", va="center", fontsize="x-small", style="italic", color=NEUTRAL
        )
    panel.set_xlim(_LOW, _HIGH)
    panel.set_xlabel("Scaled score (0: as real cells, 1: as the wrong copy)")
    panel.set_yticks(range(len(index)), _names(index), fontsize="small")
    if single:
        _overall(panel, adata.uns[key]["overall"], group)  # type: ignore[union-attr]
    else:
        handles = [
            Line2D([], [], color=colors[name], marker="o", linestyle="", markersize=5, label=name) for name in tables
        ]
        panel.legend(handles=handles, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.07, 1.02))
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)


def _background(panel: Axes, index: pd.MultiIndex) -> None:
    """Lines at floor and ceiling, a band and a name for each family."""
    families = index.get_level_values("family").to_numpy()
    panel.axvline(0, color=REAL, linewidth=1.6, zorder=1)
    panel.axvline(1, color=NEUTRAL, linewidth=1.2, linestyle="--", zorder=1)
    starts = np.flatnonzero(np.r_[True, families[1:] != families[:-1]])
    for position, (start, stop) in enumerate(zip(starts, np.r_[starts[1:], len(families)], strict=True)):
        if position % 2 == 0:
            panel.axhspan(start - 0.5, stop - 0.5, color=BACKGROUND, alpha=0.35, linewidth=0, zorder=0)
        middle = (start + stop - 1) / 2
        panel.text(_HIGH + 0.04, middle, families[start], rotation=270, va="center", fontsize="small", color=NEUTRAL)
    panel.set_ylim(len(families) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _dots(panel: Axes, table: pd.DataFrame, shift: float, color: str | tuple[float, float, float]) -> None:
    scaled = table["scaled"].to_numpy(dtype=float)
    rows = np.arange(len(scaled)) + shift
    error = 2 * (table["se"] / (table["ceiling"] - table["floor"]).abs()).to_numpy(dtype=float)
    inside = (scaled >= _LOW) & (scaled <= _HIGH)
    for beyond, end, marker in ((scaled > _HIGH, _HIGH - 0.03, ">"), (scaled < _LOW, _LOW + 0.03, "<")):
        panel.plot(np.full(int(beyond.sum()), end), rows[beyond], marker, color=color, markersize=5, zorder=4)
    panel.hlines(
        rows[inside],
        np.clip(scaled - error, _LOW, _HIGH)[inside],
        np.clip(scaled + error, _LOW, _HIGH)[inside],
        color=color,
        linewidth=1.2,
        zorder=3,
    )
    panel.plot(scaled[inside], rows[inside], "o", color=color, markersize=4.5, zorder=4)


def _overall(panel: Axes, overall: pd.DataFrame, group: str) -> None:
    """Name the mean of each family in the title."""
    means = overall[overall["group"] == group].set_index("family")["scaled"]
    text = "   ".join(f"{family} {value:.2f}" for family, value in means.items())
    panel.set_title(f"{group + ', ' if group else ''}mean:   {text}", loc="left", fontsize="small")
