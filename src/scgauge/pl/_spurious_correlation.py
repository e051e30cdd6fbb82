from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import SPURIOUS_CORRELATION
from scgauge.metrics._spurious_correlation import largest_by_chance
from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def spurious_correlation(
    adata: AnnData,
    *,
    key: str = SPURIOUS_CORRELATION,
    ax: list[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the largest correlation of genes with a property of cells against the largest by chance.

    Left: the largest absolute correlation with each permuted property, and the one that was seen. Right: what to
    expect with other numbers of cells, for as many independent genes.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.spurious_correlation` was run.
    key
        Key in ``adata.uns`` of its result.
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
        If ``adata`` is not an AnnData, or ``ax`` holds something else than Axes.
    KeyError
        If ``adata.uns[key]`` is no result of :func:`scgauge.tl.spurious_correlation`.
    ValueError
        If ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 100, rng=0)
    >>> scgauge.tl.spurious_correlation(adata, target="library_size", rng=0)
    >>> len(scgauge.pl.spurious_correlation(adata, show=False))
    2
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= {"summary", "null"}:
        message = (
            f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.spurious_correlation(adata, target=...)"
        )
        raise KeyError(message)
    summary = result["summary"].set_index("statistic")["value"]
    n_obs, n_vars = int(result["params"]["n_obs"]), int(result["params"]["n_vars"])
    left, right = open_axes(2, ax, panel_size=(4.4, 3.2))
    left.hist(np.asarray(result["null"]), bins="auto", color="#B8B8B8", label="permuted")
    left.axvline(summary["largest"], color=SYNTHETIC, linewidth=2, label="seen")
    left.axvline(summary["permuted_q95"], color=NEUTRAL, linestyle="--", linewidth=1.2, label="95 % of permuted")
    left.set_xlabel(f"largest $|r|$ of {n_vars:,} genes")
    left.set_ylabel("permutations")
    left.set_title(f"target: {result['params']['target']}", loc="left", fontsize="medium")
    # below the axes: inside, bars or lines are behind it wherever the seen correlation lies
    left.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    sizes = np.geomspace(min(8, n_obs), max(10_000, 3 * n_obs), 80)
    right.plot(sizes, largest_by_chance(sizes, n_vars), color=REAL, label="independent genes")
    right.scatter([n_obs], [summary["permuted_median"]], color="#7F7F7F", zorder=3, label="permuted, median")
    right.scatter([n_obs], [summary["largest"]], color=SYNTHETIC, zorder=3, label="seen")
    right.set(xscale="log", ylim=(0, 1.02), xlabel="cells", ylabel="largest $|r|$ by chance")
    right.set_title("by the number of cells", loc="left", fontsize="medium")
    right.legend(frameon=False, fontsize="small", loc="best")
    tidy([left, right])
    return close_axes([left, right], ax=ax, show=show, return_fig=return_fig)
