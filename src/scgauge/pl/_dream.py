from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from scgauge._core.checks import check_unique_names
from scgauge._core.keys import DREAM
from scgauge.pl._figure import BACKGROUND, NEUTRAL, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Genes that go up and down.
_UP, _DOWN = "#D55E00", "#0072B2"


def dream(
    result: AnnData,
    *,
    n_genes: int = 15,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how an output of a model was raised by changing a cell.

    Left, the output against the distance from the start; the band is mean and two standard deviations of the output
    over cells, and names are labels where the classifier changes its mind. Right, the genes that change most, in
    standard deviations of the gene.

    Parameters
    ----------
    result
        Path that :func:`scgauge.tl.dream` has returned.
    n_genes
        Genes of the right panel.
    ax
        Two Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    Two Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``result`` is no such path, or ``ax`` holds something else than Axes.
    ValueError
        If gene names repeat.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> path = scgauge.tl.dream(adata, model, target=0, rng=0, progress=False)
    >>> scgauge.pl.dream(path, show=False)[0].get_ylabel()
    'Z_0'
    """
    if not isinstance(result, AnnData) or DREAM not in result.uns or "change_in_sd" not in result.var:
        message = "`result` is no path of scgauge.tl.dream. Run: path = scgauge.tl.dream(adata, model, target=0)"
        raise TypeError(message)
    check_unique_names(result)
    panels = open_axes(2, ax, panel_size=(3.8, 1.2 + 0.17 * max(n_genes, 8)))
    _path(panels[0], result)
    change = result.var["change_in_sd"]
    largest = change.reindex(change.abs().nlargest(n_genes).index).sort_values()
    height = np.arange(len(largest))
    panels[1].barh(height, largest, color=[_UP if value > 0 else _DOWN for value in largest])
    panels[1].set_yticks(height, largest.index, fontsize="small")
    panels[1].tick_params(axis="y", length=0)
    panels[1].axvline(0, color=NEUTRAL, linewidth=0.8)
    panels[1].set_xlabel("change (standard deviations of the gene)")
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _path(panel: Axes, result: AnnData) -> None:
    notes: dict[str, Any] = result.uns[DREAM]
    obs = result.obs
    mean, sd = float(notes["output_mean"]), float(notes["output_sd"])
    panel.axhspan(mean - 2 * sd, mean + 2 * sd, color=BACKGROUND, zorder=0, label="cells, 2 SD")
    panel.axhline(mean, color=NEUTRAL, linewidth=0.8, linestyle="--", label="cells, mean")
    panel.plot(obs["distance"], obs["output"], color="black", marker=".", markersize=4, linewidth=1)
    if "predicted" in obs:
        labels = obs["predicted"].astype(str).to_numpy()
        for row in np.flatnonzero(np.append(True, labels[1:] != labels[:-1])):
            at = (obs["distance"].iloc[row], obs["output"].iloc[row])
            panel.plot(*at, "o", color=_UP, markersize=6)
            panel.annotate(labels[row], at, (6, -9), textcoords="offset points", fontsize="small", color=_UP)
    panel.set_xlabel("distance from the start")
    panel.legend(loc="lower right", fontsize="small", facecolor="white", edgecolor="none", framealpha=1)
    panel.set_ylabel(str(notes["target"]))
