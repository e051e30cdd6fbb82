from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from scgauge._core.checks import check_adata
from scgauge._core.keys import HELD_OUT_TIME
from scgauge.pl._figure import NEUTRAL, SYNTHETIC, close_axes, group_colors, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_NAMES = {
    "copy_previous": "copy of the previous time",
    "copy_next": "copy of the next time",
    "mixture": "mixture of both",
    "mean_shift": "shifted by the means",
    "optimal_transport": "optimal transport",
    "mean_cell": "one mean cell",
    "model": "model",
}
#: Space, statistic and label of each panel; cohorts have all of them.
_PANELS = (
    ("pca5", "wasserstein", "Wasserstein-1, 5 components"),
    ("pca5", "subject_wasserstein", "Wasserstein-1 of each subject, mean"),
    ("genes", "energy", "energy distance, all genes"),
)


def _panel(panel: Axes, scores: pd.DataFrame, times: np.ndarray, label: str, *, names: bool) -> None:
    """Draw one row for each method and one mark for each time; the floor is a tick."""
    table = scores.pivot_table(index="method", columns="time", values="value")
    methods = [method for method in _NAMES if method in table.index][::-1]
    colors = group_colors([f"{time:g}" for time in times])
    offsets = np.linspace(0.22, -0.22, len(times)) if len(times) > 1 else [0.0]
    for time, offset in zip(times, offsets, strict=True):
        color = colors[f"{time:g}"]
        y = np.arange(len(methods)) + offset
        panel.scatter(table.loc[methods, time], y, color=color, s=28, label=f"{time:g}", zorder=3)
        panel.axvline(table.loc["floor", time], color=color, linewidth=1, linestyle="--", zorder=1)
    panel.axhspan(methods.index("model") - 0.5, methods.index("model") + 0.5, color=SYNTHETIC, alpha=0.12, linewidth=0)
    panel.set_yticks(range(len(methods)), [_NAMES[method] for method in methods] if names else [])
    panel.set(xlabel=label, ylim=(-0.6, len(methods) - 0.4))
    panel.set_xlim(left=0)
    panel.grid(axis="x", linewidth=0.4, color=NEUTRAL, alpha=0.25)


def held_out_time(
    adata: AnnData,
    *,
    key: str = HELD_OUT_TIME,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how far predictions of held-out times are from the real cells, beside simple predictions.

    Further left is better. Dashed lines are the floor, one half of the real cells against the other. A model whose
    marks are not left of optimal transport and of both copies has not earned its dynamics. Of cohorts a panel more
    compares each subject's cells with those predicted for it.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.held_out_time` was run.
    key
        Key in ``adata.uns`` of its result.
    ax
        Two Axes to draw into, of cohorts three; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    List of the Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` holds something other than Axes.
    ValueError
        If ``ax`` does not hold as many Axes as there are panels.
    KeyError
        If ``adata.uns[key]`` is not a result of :func:`scgauge.tl.held_out_time`.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scgauge
    >>> adata = ad.AnnData(np.ones((2, 1), dtype="float32"))
    >>> rows = [
    ...     (1.0, method, *where, value)
    ...     for method, value in (("floor", 0.2), ("copy_next", 1.0), ("model", 0.5))
    ...     for where in (("pca5", "wasserstein"), ("genes", "energy"))
    ... ]
    >>> columns = ["time", "method", "space", "statistic", "value"]
    >>> adata.uns["held_out_time"] = {"params": {"time_key": "time"}, "scores": pd.DataFrame(rows, columns=columns)}
    >>> panels = scgauge.pl.held_out_time(adata, show=False)
    >>> [label.get_text() for label in panels[0].get_yticklabels()]
    ['model', 'copy of the next time']
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or "scores" not in result or "method" not in result["scores"]:
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.held_out_time(adata, model)"
        raise KeyError(message)
    scores = result["scores"]
    parts = [scores[(scores["space"] == space) & (scores["statistic"] == statistic)] for space, statistic, _ in _PANELS]
    shown = [(part, label) for part, (_, _, label) in zip(parts, _PANELS, strict=True) if len(part)]
    if not shown:
        message = f"The table in adata.uns[{key!r}] has no row to show. Run: scgauge.tl.held_out_time(adata, model)"
        raise KeyError(message)
    panels = open_axes(len(shown), ax, panel_size=(4.2, 3.4))
    times = np.unique(scores["time"])
    for position, (panel, (part, label)) in enumerate(zip(panels, shown, strict=True)):
        _panel(panel, part, times, label, names=position == 0)
    handles, labels = panels[-1].get_legend_handles_labels()
    handles.append(Line2D([], [], color=NEUTRAL, linewidth=1, linestyle="--"))
    labels.append("floor: half the\nreal cells")
    panels[-1].legend(
        handles, labels, title=f"held-out {result['params']['time_key']}", loc="upper left",
        bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small", alignment="left",
    )  # fmt: skip
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)
