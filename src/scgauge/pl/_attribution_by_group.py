from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import ATTRIBUTION_BY_GROUP
from scgauge.pl._figure import NEUTRAL, close_axes, group_colors, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_PARTS = {"pooled", "by_group", "agreement"}


def attribution_by_group(
    adata: AnnData,
    *,
    key: str = ATTRIBUTION_BY_GROUP,
    target: str | None = None,
    n_genes: int = 12,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how explanations of groups agree with that of all cells.

    Left, for each group and target the rank correlation of mean absolute attributions, and the number of genes whose
    effect changes its sign; empty where a latent dimension of a group's own model has no match. Right, for one target,
    the effect of genes over all cells (diamonds) and in each group (points, filled where the sign is another): first
    the genes that change their sign in most groups, then those with the largest attributions.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.attribution_by_group` was run.
    key
        Key in ``adata.uns`` of its result.
    target
        Target of the right panel; the one with most changed signs if ``None``.
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
        If ``adata`` is not an AnnData, or ``ax`` holds something else than Axes.
    KeyError
        If there is no result under ``key``, or the target is unknown.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 20, n_groups=2, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    >>> model.train(max_epochs=20, enable_progress_bar=False, accelerator="cpu")
    >>> scgauge.tl.attribution_by_group(adata, model, groupby="group", progress=False)
    >>> panels = scgauge.pl.attribution_by_group(adata, target="Z_1", show=False)
    >>> panels[1].get_title()
    'Z_1'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= _PARTS:
        message = f"Did not find groups in adata.uns[{key!r}]. Run: scgauge.tl.attribution_by_group(adata, model)"
        raise KeyError(message)
    agreement = result["agreement"]
    flips = agreement.groupby("target", sort=False)["n_flips"].sum()
    chosen = str(flips.idxmax()) if target is None else target
    if chosen not in flips.index:
        message = f"adata.uns[{key!r}] has no target {chosen!r}; it has {list(flips.index)}."
        raise KeyError(message)
    panels = open_axes(2, ax, panel_size=(4.2, 1.2 + 0.22 * max(n_genes, agreement["group"].nunique())))
    _agreement(panels[0], agreement)
    _effects(panels[1], result, chosen, n_genes)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _agreement(panel: Axes, table: pd.DataFrame) -> None:
    """Draw rank correlations, groups x targets, with the number of changed signs in each square."""
    targets, groups = table["target"].unique(), table["group"].unique()
    values = table.pivot_table(index="group", columns="target", values="rank_correlation", sort=False, dropna=False)
    values = values.reindex(index=groups, columns=targets).to_numpy(dtype=float)
    flips = table.pivot_table(index="group", columns="target", values="n_flips", sort=False).reindex(groups)[targets]
    image = panel.imshow(values, cmap="viridis", vmin=min(0.0, np.nanmin(values, initial=0.0)), vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        color = "black" if values[row, column] > 0.6 else "white"
        number = str(int(flips.iloc[row, column]))
        panel.text(column, row, number, ha="center", va="center", color=color, fontsize="small")
    panel.set_xticks(np.arange(len(targets)), targets, rotation=90, fontsize="small")
    panel.set_yticks(np.arange(len(groups)), groups, fontsize="small")
    panel.tick_params(length=0)
    panel.set_title("rank correlation; number of changed signs", fontsize="medium")
    panel.figure.colorbar(image, ax=panel, shrink=0.6)


def _effects(panel: Axes, result: dict[str, pd.DataFrame], target: str, n_genes: int) -> None:
    """Draw effects of genes over all cells and in groups."""
    pooled = result["pooled"].query("target == @target").set_index("gene")
    by_group = result["by_group"].query("target == @target")
    n_flips = by_group.groupby("gene", observed=True)["flips"].sum().reindex(pooled.index)
    order = pooled.assign(n_flips=n_flips).sort_values(["n_flips", "mean_abs"], ascending=False, kind="stable")
    genes = [str(gene) for gene in order.index[:n_genes]]
    height = np.arange(len(genes))
    groups = [str(group) for group in result["agreement"]["group"].unique()]
    colors = group_colors(groups)
    panel.axvline(0, color=NEUTRAL, linewidth=0.8)
    for number, group in enumerate(groups):
        rows = by_group[by_group["group"] == group].set_index("gene").loc[genes]
        shift = 0.5 * ((number + 0.5) / len(groups) - 0.5)
        faces = [colors[group] if flip else "none" for flip in rows["flips"]]
        panel.scatter(rows["effect"], height + shift, s=22, facecolors=faces, edgecolors=[colors[group]])
        panel.scatter([], [], s=22, color=[colors[group]], label=group)
    panel.scatter(pooled.loc[genes, "effect"], height, marker="D", s=30, color="black", label="all cells", zorder=1.5)
    panel.set_yticks(height, genes, fontsize="small")
    panel.invert_yaxis()
    panel.set_title(target, fontsize="medium")
    panel.set_xlabel("effect on the output; filled: another sign")
    panel.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    tidy([panel])
