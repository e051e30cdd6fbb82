from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge.pl._figure import close_axes, group_colors, open_axes, tidy
from scgauge.pl._result_table import check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_COLUMNS = {"step", "gene", "latent", "g2", "cmi"}


def patterns(
    table: pd.DataFrame, *, ax: Axes | None = None, show: bool | None = None, return_fig: bool = False
) -> Drawn:
    """Draw the genes of a pattern in the order of their selection.

    The length of a bar is the conditional mutual information of gene and latent dimension given the genes above; its
    colour is the dimension, the number beside it :math:`G^2`.

    Parameters
    ----------
    table
        Result of :func:`scgauge.tl.log_linear_patterns`.
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
        If ``table`` is no such table.
    ValueError
        If it has no row.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> table = pd.DataFrame({"step": [1], "gene": ["Pvalb"], "latent": ["Z_0"], "g2": [989.4], "cmi": [0.18]})
    >>> [label.get_text() for label in scgauge.pl.patterns(table, show=False).get_yticklabels()]
    ['Pvalb']
    """
    if not isinstance(table, pd.DataFrame) or not set(table.columns) >= _COLUMNS:
        message = "`table` is no result of scgauge.tl.log_linear_patterns. Run: scgauge.tl.log_linear_patterns(model)"
        raise TypeError(message)
    check_names(table, "latent")
    if table.empty:
        message = "The table has no row: no gene is associated with a latent dimension."
        raise ValueError(message)
    (panel,) = open_axes(1, ax, panel_size=(4.6, 1.1 + 0.28 * len(table)))
    latents = sorted(table["latent"].unique())
    colors = group_colors(latents)
    height = np.arange(len(table))
    for latent in latents:
        rows = (table["latent"] == latent).to_numpy()
        panel.barh(height[rows], table["cmi"][rows], color=colors[latent], label=latent)
    for at, cmi, g2 in zip(height, table["cmi"], table["g2"], strict=True):
        panel.annotate(f"{g2:.0f}", (cmi, at), (3, 0), textcoords="offset points", va="center", fontsize="small")
    panel.set_yticks(height, table["gene"])
    panel.invert_yaxis()
    panel.margins(x=0.15)
    panel.set_xlabel("conditional mutual information (nats)")
    panel.legend(title="latent", frameon=False, fontsize="small", loc="lower right")
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
