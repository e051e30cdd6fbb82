from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge.pl._figure import NEUTRAL, REAL, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def factor_stability(
    result: Any,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how well each factor of the first run comes back in the others.

    One dot for each other run, at the absolute correlation of its matched factor; the bar is the median. Factors near
    1 can be interpreted, those with low or scattered dots are a matter of the seed.

    Parameters
    ----------
    result
        What :func:`scgauge.tl.match_factors` returned.
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
        If ``result`` is not what :func:`scgauge.tl.match_factors` returns, or ``ax`` is not an Axes.

    Examples
    --------
    >>> import numpy as np, pandas as pd, scgauge
    >>> one = pd.DataFrame(np.eye(4)[:, :2], columns=["Z_0", "Z_1"])
    >>> panel = scgauge.pl.factor_stability(scgauge.tl.match_factors([one, one]), show=False)
    >>> panel.get_ylabel()
    'Absolute correlation of loadings'
    """
    if not hasattr(result, "matches") or not hasattr(result, "stability"):
        message = f"`result` is {type(result).__name__}; pass what scgauge.tl.match_factors returned."
        raise TypeError(message)
    table = result.stability.sort_values("median", ascending=False, kind="stable")
    factors = table["factor"].tolist()
    width = float(np.clip(1.6 + 0.42 * len(factors), 3.2, 14))
    (panel,) = open_axes(1, ax, panel_size=(width, 3.4))
    runs = sorted(result.matches["run"].unique())
    spread = np.linspace(-0.18, 0.18, len(runs)) if len(runs) > 1 else np.zeros(1)
    for place, factor in enumerate(factors):
        rows = result.matches[result.matches["factor"] == factor].set_index("run")
        values = rows["correlation"].abs().fillna(0).reindex(runs)
        panel.scatter(place + spread, values, s=22, color=REAL, alpha=0.75, linewidths=0, zorder=3)
    panel.hlines(table["median"], np.arange(len(factors)) - 0.3, np.arange(len(factors)) + 0.3, color=NEUTRAL, lw=1.8)
    panel.set_xticks(np.arange(len(factors)), factors, rotation=45, ha="right", rotation_mode="anchor")
    panel.set_xlim(-0.6, len(factors) - 0.4)
    panel.set_ylim(0, 1.03)
    panel.set_ylabel("Absolute correlation of loadings")
    panel.set_xlabel("Factor of the first run")
    panel.set_title(f"{len(runs)} other {'run' if len(runs) == 1 else 'runs'}", fontsize="medium", loc="left")
    panel.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
