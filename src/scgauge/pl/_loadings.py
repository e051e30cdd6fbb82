from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import LOADINGS
from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Colours of genes that go up and down with a factor.
_UP, _DOWN = SYNTHETIC, REAL
#: Most factors that are drawn unless they are named.
_N_FACTORS = 6


def loadings_result(adata: AnnData, key: str) -> dict[str, Any]:
    """Return what `tl.loadings` wrote; KeyError if it did not."""
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not {"factors", "top_genes"} <= set(result):
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.loadings(adata, model)"
        raise KeyError(message)
    return result


def chosen_factors(result: dict[str, Any], factors: Sequence[str] | None, n_default: int) -> list[str]:
    """Return the factors to draw; KeyError if one does not exist."""
    known = result["factors"]["factor"].astype(str).tolist()
    if factors is None:
        return known[:n_default]
    wanted = [str(factor) for factor in factors]
    missing = [factor for factor in wanted if factor not in known]
    if missing or not wanted:
        message = f"Did not find the factor {missing[0]!r}; the factors are {known}." if missing else "No factor named."
        raise KeyError(message)
    return wanted


def title_of(result: dict[str, Any], factor: str) -> str:
    """Return the name of a factor with the share that it explains, as far as it is known."""
    table = result["factors"]
    share = float(table.loc[table["factor"].astype(str) == factor, "explained"].iloc[0])
    name = factor.replace("_", " ") if len(factor) > 18 else factor
    return f"{name}\n{100 * share:.0f} % explained" if np.isfinite(share) else name


def _draw(panel: Axes, genes: pd.DataFrame, *, gene_size: str) -> None:
    values = genes["loading"].to_numpy(dtype=float)
    places = np.arange(len(genes))
    colors = [_UP if value > 0 else _DOWN for value in values]
    if "lower" in genes:
        panel.hlines(places, genes["lower"], genes["upper"], colors=colors, linewidth=1.6, alpha=0.55)
    else:
        panel.hlines(places, 0, values, colors=colors, linewidth=1.2, alpha=0.55)
    panel.scatter(values, places, c=colors, s=22, zorder=3)
    panel.axvline(0, color=NEUTRAL, linewidth=0.8)
    panel.set_yticks(places, genes["gene"].astype(str), fontsize=gene_size, fontstyle="italic")
    panel.set_ylim(len(genes) - 0.4, -0.6)
    panel.margins(x=0.12)
    panel.set_xlabel("Loading\n(log expression per unit)")


def loadings(
    adata: AnnData,
    *,
    key: str = LOADINGS,
    factors: Sequence[str] | None = None,
    n_genes: int = 10,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the genes with the largest loadings of each factor, one panel a factor.

    A gene on the right goes up with the factor, one on the left goes down. For a Bayesian model the lines are credible
    intervals, else they lead to zero.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.loadings` was run.
    key
        Key in ``adata.uns`` of its result.
    factors
        Factors to draw, by name; the first six in the order of the result if ``None``.
    n_genes
        Genes of each factor, at most as many as the result lists.
    ax
        As many Axes as factors; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes (a list of them for several factors), or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` holds something other than Axes.
    KeyError
        If there is no result of :func:`scgauge.tl.loadings` or no such factor.
    ValueError
        If ``n_genes`` is below 1 or the number of Axes is not that of factors.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> scgauge.tl.loadings(adata, model)
    >>> panels = scgauge.pl.loadings(adata, n_genes=5, show=False)
    >>> len(panels)
    2
    """
    result = loadings_result(adata, key)
    names = chosen_factors(result, factors, _N_FACTORS)
    if n_genes < 1:
        message = f"n_genes={n_genes} was given; at least 1 is needed."
        raise ValueError(message)
    axes = open_axes(len(names), ax, panel_size=(2.4, 1.4 + 0.2 * n_genes))
    table = result["top_genes"]
    for panel, name in zip(axes, names, strict=True):
        genes = table[(table["factor"].astype(str) == name) & (table["rank"] <= n_genes)]
        _draw(panel, genes.sort_values("loading", ascending=False), gene_size="small")
        panel.set_title(title_of(result, name), fontsize="medium")
    tidy(axes)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
