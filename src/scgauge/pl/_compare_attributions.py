from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.colors import LogNorm

from scgauge._core.checks import check_adata
from scgauge._core.keys import COMPARE_ATTRIBUTIONS
from scgauge.pl._figure import close_axes, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_NAMES = {
    "rank_correlation": "rank correlation of genes",
    "matched_correlation": "rank correlation of matched columns",
    "overlap": "share of the first {} genes",
}


def compare_attributions(
    adata: AnnData,
    *,
    key: str = COMPARE_ATTRIBUTIONS,
    statistic: Literal["rank_correlation", "matched_correlation", "overlap"] = "overlap",
    n_top: int | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how far methods agree about genes.

    Left, the agreement of every two methods, on the diagonal that of runs of one method (empty for a single run).
    Right, the rank of genes by each method, in the latent dimension or group where the gene comes first.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.compare_attributions` was run.
    key
        Key in ``adata.uns`` of its result.
    statistic
        What to draw on the left.
    n_top
        Number of genes of the overlap; the smallest that was compared for all methods if ``None``.
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
        If ``adata`` is not an AnnData, or ``ax`` holds something else than Axes.
    KeyError
        If there is no result under ``key``.
    ValueError
        If the statistic was not computed.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scgauge
    >>> adata = ad.AnnData(np.ones((3, 4), dtype="float32"))
    >>> loadings = pd.DataFrame({"Z_0": [3.0, -2.0, 1.0, 0.0]}, index=adata.var_names)
    >>> scgauge.tl.compare_attributions(adata, sources={"LDVAE": loadings, "VAE": loadings**2}, n_top=[2])
    >>> panels = scgauge.pl.compare_attributions(adata, show=False)
    >>> [text.get_text() for text in panels[0].texts]
    ['1.00', '1.00']
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not {"pairs", "ranks"} <= set(result):
        message = f"Did not find a comparison in adata.uns[{key!r}]. Run: scgauge.tl.compare_attributions(adata)"
        raise KeyError(message)
    pairs = result["pairs"]
    pairs = pairs[pairs["statistic"] == statistic]
    methods = [str(name) for name in result["params"]["methods"]]
    if n_top is None and len(pairs):
        counts = pairs.groupby("n_top").size()
        n_top = int(counts.index[np.argmax(counts.to_numpy())])
    pairs = pairs[pairs["n_top"] == (n_top if statistic == "overlap" else 0)]
    if pairs.empty:
        message = f"adata.uns[{key!r}] has no statistic={statistic!r} with n_top={n_top}; see its table 'pairs'."
        raise ValueError(message)
    n_genes = result["ranks"]["gene"].nunique()
    panels = open_axes(2, ax, panel_size=(2.2 + 0.55 * len(methods), 1.6 + 0.22 * max(n_genes, 8)))
    _matrix(panels[0], pairs, methods)
    panels[0].set_title(_NAMES[statistic].format(n_top), fontsize="medium")
    _ranks(panels[1], result["ranks"], methods)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _matrix(panel: Axes, pairs: pd.DataFrame, methods: list[str]) -> None:
    values = np.full((len(methods), len(methods)), np.nan)
    for row in pairs.itertuples():
        first, second = methods.index(row.first), methods.index(row.second)
        values[first, second] = values[second, first] = row.value
    panel.imshow(values, cmap="viridis", vmin=min(0.0, float(np.nanmin(values))), vmax=1)
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        color = "black" if values[row, column] > 0.6 else "white"
        text = f"{values[row, column]:.2f}"
        panel.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    panel.set_xticks(np.arange(len(methods)), methods, rotation=45, ha="right", fontsize="small")
    panel.set_yticks(np.arange(len(methods)), methods, fontsize="small")
    panel.tick_params(length=0)


def _ranks(panel: Axes, ranks: pd.DataFrame, methods: list[str]) -> None:
    table = ranks.pivot_table(index="gene", columns="method", values="best_rank", sort=False, dropna=False)
    table = table.reindex(index=ranks["gene"].unique(), columns=methods)
    values = table.to_numpy(dtype=float)
    panel.imshow(values, cmap="viridis_r", norm=LogNorm(1, max(2.0, float(np.nanmax(values)))), aspect="auto")
    middle = np.sqrt(max(2.0, float(np.nanmax(values))))
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        color = "black" if values[row, column] < middle else "white"
        text = f"{values[row, column]:.0f}"
        panel.text(column, row, text, ha="center", va="center", color=color, fontsize="x-small")
    panel.set_xticks(np.arange(len(methods)), methods, rotation=45, ha="right", fontsize="small")
    panel.set_yticks(np.arange(len(table)), table.index, fontsize="small")
    panel.tick_params(length=0)
    panel.set_title("rank where the gene comes first", fontsize="medium")
