from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import LATENT_ARITHMETIC
from scgauge.pl._figure import NEUTRAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_PANELS = {"latent space": "latent_space", "gene space": "gene_space", "no change": "control"}


def latent_arithmetic(
    adata: AnnData,
    *,
    key: str = LATENT_ARITHMETIC,
    n_names: int = 6,
    ax: list[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw predicted against observed means of genes, for a prediction from the latent space and for two without it.

    Every point is a gene; the genes that differ most between the conditions are coloured, and the largest errors among
    them named. The titles have the squared correlations over all and over the coloured genes.

    Parameters
    ----------
    adata
        Predicted cells that :func:`scgauge.tl.latent_arithmetic` returned.
    key
        Key in ``adata.uns`` of its result.
    n_names
        Number of genes named in each panel.
    ax
        Three Axes to draw into; a new figure if ``None``.
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
        If ``adata.uns[key]`` is no result of :func:`scgauge.tl.latent_arithmetic`.
    ValueError
        If no treated cells were there to score against, or ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scgauge
    >>> predicted = ad.AnnData(np.ones((2, 3), dtype="float32"))
    >>> columns = {name: [0.0, 1.0, 2.0] for name in ("control", "treated", "latent_space", "gene_space")}
    >>> genes = pd.DataFrame({"gene": list("abc"), **columns, "top": [True, False, False]})
    >>> rows = [(m, s, 1.0) for m in ("latent space", "gene space", "no change") for s in ("r2_all", "r2_top")]
    >>> scores = pd.DataFrame(rows, columns=["method", "statistic", "value"])
    >>> params = {"treated": "IFN", "label": "T"}
    >>> predicted.uns["latent_arithmetic"] = {"params": params, "genes": genes, "scores": scores}
    >>> len(scgauge.pl.latent_arithmetic(predicted, show=False))
    3
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= {"genes", "scores", "params"}:
        message = f"Did not find a result in adata.uns[{key!r}]. Pass what scgauge.tl.latent_arithmetic returned."
        raise KeyError(message)
    if not len(result["scores"]):
        message = "There were no treated cells of the label to compare with; nothing can be drawn."
        raise ValueError(message)
    genes = result["genes"]
    scores = result["scores"].set_index(["method", "statistic"])["value"]
    top = genes["top"].to_numpy(dtype=bool)
    observed = genes["treated"].to_numpy()
    panels = open_axes(3, ax, panel_size=(3.7, 3.7))
    end = 1.03 * max(genes[column].max() for column in ("treated", *_PANELS.values()))
    for panel, (method, column) in zip(panels, _PANELS.items(), strict=True):
        predicted = genes[column].to_numpy()
        panel.plot([0, end], [0, end], color=NEUTRAL, linewidth=0.8)
        panel.scatter(observed[~top], predicted[~top], s=4, color="#B8B8B8", linewidths=0, rasterized=True)
        panel.scatter(observed[top], predicted[top], s=10, color=SYNTHETIC, linewidths=0)
        wrong = np.flatnonzero(top)[np.argsort(-np.abs(predicted - observed)[top])[:n_names]]
        _write_names(panel, genes["gene"].to_numpy()[wrong], observed[wrong], predicted[wrong], end)
        squared = scores[method, "r2_all"], scores[method, "r2_top"]
        panel.set_title(f"{method}\n$R^2$ all {squared[0]:.2f}, top {squared[1]:.2f}", loc="left", fontsize="medium")
        panel.set(xlabel="observed mean", xlim=(0, end), ylim=(0, end))
    panels[0].set_ylabel(f"predicted: {result['params']['label']}, {result['params']['treated']}")
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _write_names(panel: Axes, names: np.ndarray, observed: np.ndarray, predicted: np.ndarray, end: float) -> None:
    """Write names in columns off the diagonal: of genes predicted too high at the upper left, of others lower right."""
    step = 0.065 * end
    for high in (True, False):
        mine = np.flatnonzero((predicted > observed) == high)
        mine = mine[np.argsort(predicted[mine])]
        x, first = (0.03 * end, 0.96 * end - step * (len(mine) - 1)) if high else (0.97 * end, 0.04 * end)
        for place, gene in enumerate(mine):
            panel.annotate(
                str(names[gene]), (observed[gene], predicted[gene]), (x, first + place * step), fontsize="x-small",
                ha="left" if high else "right", va="center",
                arrowprops={"arrowstyle": "-", "color": NEUTRAL, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 2},
            )  # fmt: skip
