from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import IG
from scgauge.pl._figure import LEGEND_WIDTH, NEUTRAL, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Genes with a positive and with a negative mean attribution.
_UP, _DOWN = "#D55E00", "#0072B2"
_PARTS = {"names", "top_genes", "completeness"}


def _table(adata: AnnData, key: str) -> pd.DataFrame:
    """Mean absolute attributions, genes x targets."""
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= _PARTS or key not in adata.varm:
        message = f"Did not find attributions in adata.uns[{key!r}]. Run: scgauge.tl.attribute(adata, model)"
        raise KeyError(message)
    return pd.DataFrame(np.asarray(adata.varm[key]), index=adata.var_names, columns=list(result["names"])).dropna()


def _bars(panel: Axes, target: str, values: pd.Series, signed: pd.Series, null: float) -> None:
    """Draw the genes of one target, the largest on top."""
    colors = [_UP if signed[gene] >= 0 else _DOWN for gene in values.index]
    panel.barh(np.arange(len(values)), values, color=colors, height=0.75)
    panel.set_yticks(np.arange(len(values)), values.index, fontsize="small")
    panel.invert_yaxis()
    panel.set_title(target, fontsize="medium")
    panel.tick_params(axis="y", length=0)
    panel.locator_params(axis="x", nbins=3)
    if np.isfinite(null):
        panel.axvline(null, color=NEUTRAL, linestyle="--", linewidth=1)


def _legend(panel: Axes, *, has_null: bool) -> None:
    """Say what colours and line mean, to the right of the panel."""
    handles: list[Artist] = [Patch(color=_UP, label="raises the output"), Patch(color=_DOWN, label="lowers the output")]
    if has_null:
        handles.append(
            Line2D([], [], color=NEUTRAL, linestyle="--", linewidth=1, label="95 % of genes,\nshuffled weights")
        )
    panel.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small")


def attribution(
    adata: AnnData,
    *,
    key: str = IG,
    kind: str = "bars",
    targets: Sequence[str] | None = None,
    n_genes: int = 10,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the genes to which outputs of a model are attributed most.

    Bars are mean absolute attributions over cells; their colour is the sign of the mean attribution (orange: a higher
    expression raises the output), and the dashed line the 95th percentile over genes when the weights of the encoder
    are shuffled. The heat map has the same genes for all targets, each target scaled to its largest attribution.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.attribute` was run.
    key
        Key in ``adata.uns`` and ``adata.varm`` of its result.
    kind
        ``"bars"``, one panel for each target, or ``"heatmap"``, one panel for all.
    targets
        Targets to draw, in this order; all if ``None``.
    n_genes
        Genes of each target.
    ax
        Axes to draw into, one for each panel; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` holds something else than Axes.
    KeyError
        If there is no result under ``key``, or a target is unknown.
    ValueError
        If ``kind`` is unknown, no target is named, or gene names repeat.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> scgauge.tl.attribute(adata, model, rng=0, progress=False)
    >>> panels = scgauge.pl.attribution(adata, show=False)
    >>> [panel.get_title() for panel in panels]
    ['Z_0', 'Z_1']
    """
    check_adata(adata)
    check_unique_names(adata)
    table = _table(adata, key)
    if kind not in {"bars", "heatmap"}:
        message = f"kind={kind!r} was given; choose 'bars' or 'heatmap'."
        raise ValueError(message)
    chosen = list(table.columns) if targets is None else list(targets)
    unknown = [name for name in chosen if name not in table]
    if unknown:
        message = f"adata.uns[{key!r}] has no target {unknown[0]!r}; it has {list(table.columns)}."
        raise KeyError(message)
    table = table[chosen]
    top = {name: table[name].nlargest(n_genes) for name in chosen}
    if kind == "heatmap":
        return _heatmap(table, top, ax=ax, show=show, return_fig=return_fig)
    signed = pd.DataFrame(
        np.asarray(adata.varm[f"{key}_signed"]), index=adata.var_names, columns=adata.uns[key]["names"]
    )
    nulls = adata.uns[key]["randomised"].set_index("target")["null"]
    # The legend stands beside the last panel, and all make room for it.
    panels = open_axes(len(chosen), ax, panel_size=(2.3 + LEGEND_WIDTH / max(len(chosen), 1), 0.6 + 0.2 * n_genes))
    for panel, name in zip(panels, chosen, strict=True):
        _bars(panel, name, top[name], signed[name], nulls[name])
    tidy(panels)
    panels[len(panels) // 2].set_xlabel("mean |attribution|")
    _legend(panels[-1], has_null=bool(np.isfinite(nulls[chosen]).any()))
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _heatmap(
    table: pd.DataFrame,
    top: dict[str, pd.Series],
    *,
    ax: Axes | Sequence[Axes] | None,
    show: bool | None,
    return_fig: bool,
) -> Drawn:
    """Draw the genes of all targets, grouped by the target in which they come first."""
    genes = pd.Index(list(dict.fromkeys(gene for values in top.values() for gene in values.index)))
    scaled = (table / table.max())[table.columns].loc[genes]
    (panel,) = open_axes(1, ax, panel_size=(1.8 + 0.32 * len(table.columns), 1.0 + 0.16 * len(genes)))
    image = panel.imshow(scaled, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(np.arange(scaled.shape[1]), scaled.columns, rotation=90, fontsize="small")
    panel.set_yticks(np.arange(len(genes)), genes, fontsize="x-small")
    panel.tick_params(length=0)
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.5)
    bar.set_label("mean |attribution| / largest", fontsize="small")
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
