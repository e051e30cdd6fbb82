from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import MEMORIZATION
from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Statistics that are shares, and how they are named.
_SHARES = {
    "train_share": "nearest real cell\nis a training cell",
    "dcr_share": "closer to training\nthan to held out",
    "authenticity": "authenticity",
    "nnaa_train": "adversarial\naccuracy",
    "duplicates": "exact duplicates",
}


def memorization(
    adata: AnnData,
    *,
    key: str = MEMORIZATION,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw whether synthetic cells are copies of training cells.

    Left: the distance to the nearest training cell, of synthetic cells and of real cells held out. Copies lie far
    to the left of the cells held out. Right: shares (dots, with two standard errors where there are some) against what
    cells without memorisation have (bars).

    Parameters
    ----------
    adata
        Synthetic cells on which :func:`scgauge.tl.memorization` was run.
    key
        Key in ``adata.uns`` of the result.
    ax
        Two Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    A list of two Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` holds something other than Axes.
    KeyError
        If ``adata.uns[key]`` does not exist or is not a result of :func:`scgauge.tl.memorization`.
    ValueError
        If the number of Axes is wrong.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(300, 30, rng=0)
    >>> real, holdout, fresh = (adata[start : start + 100].copy() for start in (0, 100, 200))
    >>> scgauge.tl.memorization(real, fresh, holdout=holdout, rng=0)
    >>> scgauge.pl.memorization(fresh, show=False)[1].get_title()
    'no sign of copies'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not {"scores", "distances", "copies"} <= set(result):
        message = (
            f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.memorization(real, synthetic, holdout=...)"
        )
        raise KeyError(message)
    left, right = open_axes(2, ax, panel_size=(4.0, 3.3))
    _distances(left, result["distances"])
    _shares(right, result["scores"].set_index("statistic"))
    right.set_title("copies of training cells" if result["copies"] else "no sign of copies", fontsize="medium")
    tidy([left, right])
    return close_axes([left, right], ax=ax, show=show, return_fig=return_fig)


def _distances(panel: Axes, table: pd.DataFrame) -> None:
    for name, color, label in (("holdout", REAL, "real, held out"), ("synthetic", SYNTHETIC, "synthetic")):
        values = np.sort(table.loc[table["cells"] == name, "to_train"].to_numpy())
        panel.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=color, label=label)
    panel.set_xlabel("Distance to the nearest training cell")
    panel.set_ylabel("Share of cells")
    panel.set_ylim(0, 1.02)
    panel.legend(frameon=False, fontsize="small", loc="lower right")


def _shares(panel: Axes, scores: pd.DataFrame) -> None:
    shown = [name for name in _SHARES if name in scores.index]
    rows = np.arange(len(shown))
    table = scores.loc[shown]
    panel.plot(table["expected"], rows, "|", color=NEUTRAL, markersize=16, markeredgewidth=2, label="expected")
    panel.hlines(
        rows, table["value"] - 2 * table["se"].fillna(0), table["value"] + 2 * table["se"].fillna(0), color=SYNTHETIC
    )
    panel.plot(table["value"], rows, "o", color=SYNTHETIC, label="synthetic")
    panel.set_yticks(rows, [_SHARES[name] for name in shown], fontsize="small")
    panel.set_xlim(-0.04, 1.04)
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_xlabel("Share")
    panel.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
