from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.text import Annotation

from scgauge._core.checks import check_adata
from scgauge._core.keys import SIGNATURES
from scgauge.pl._figure import BACKGROUND, NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def signatures(
    adata: AnnData,
    *,
    key: str = SIGNATURES,
    nodes: Sequence[str] | None = None,
    n_names: int = 3,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the weights of nodes in standard deviations, with the genes of their signatures in colour.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.signatures` was run.
    key
        Key of its result.
    nodes
        Nodes to draw; the eight with the farthest outlying weights if ``None``.
    n_names
        Number of genes to name at each end of a node.
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
        If ``adata`` is not an AnnData, or ``ax`` is not an Axes.
    KeyError
        If ``adata.uns[key]`` is no result of :func:`scgauge.tl.signatures`, or a node is unknown.
    ValueError
        If ``nodes`` is empty.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 60, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> scgauge.tl.signatures(adata, model, cutoff=1.5)
    >>> scgauge.pl.signatures(adata, show=False).get_ylabel()
    'weight (SD from the mean of the node)'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not {"genes", "nodes"} <= set(result) or key not in adata.varm:
        message = f"Did not find signatures in adata.uns[{key!r}]. Run: scgauge.tl.signatures(adata, model)"
        raise KeyError(message)
    lost = pd.Index(result["genes"]["gene"].astype(str)).difference(adata.var_names.astype(str))
    if len(lost):
        message = (
            f"Genes of the signatures are not in adata.var_names, for example {lost[0]!r}. Run scgauge.tl.signatures."
        )
        raise KeyError(message)
    names = [str(node) for node in result["nodes"]]
    weights = np.asarray(adata.varm[key], dtype=float)
    spread = np.nanstd(weights, axis=0, ddof=1)
    standard = (weights - np.nanmean(weights, axis=0)) / np.where(spread > 0, spread, 1)
    chosen = _chosen(nodes, names, standard)
    (panel,) = open_axes(1, ax, panel_size=(1.8 + 1.05 * len(chosen), 4.4))
    position = {gene: row for row, gene in enumerate(adata.var_names.astype(str))}
    table = result["genes"]
    rng = np.random.default_rng(0)
    gap = 0.05 * max(np.nanmax(standard[:, chosen]) - np.nanmin(standard[:, chosen]), 1.0)
    for place, node in enumerate(chosen):
        values = standard[:, node]
        jitter = place + rng.uniform(-0.14, 0.14, len(values))
        panel.scatter(jitter, values, s=4, color=BACKGROUND, linewidths=0, rasterized=True)
        for sign, color in ((1, SYNTHETIC), (-1, REAL)):
            part = table[(table["node"].astype(str) == names[node]) & (table["sign"] == sign)]
            rows = np.array([position[str(gene)] for gene in part["gene"]], dtype=int)
            panel.scatter(jitter[rows], values[rows], s=10, color=color, linewidths=0)
            named = rows[:n_names]
            points = np.column_stack([jitter[named], values[named]])
            _name(panel, place + 0.2, points, part["gene"].astype(str).to_numpy()[:n_names], sign, gap)
    cutoff = float(result["params"]["cutoff"])
    for level in (-cutoff, cutoff):
        panel.axhline(level, color=NEUTRAL, linewidth=0.7, linestyle="--")
    panel.set_xticks(range(len(chosen)), [names[node] for node in chosen], rotation=45 if len(chosen) > 6 else 0)
    panel.set(xlim=(-0.4, len(chosen) - 0.1), ylabel="weight (SD from the mean of the node)")
    panel.set_title(f"{result['params']['model']}, {result['params']['side']}", loc="left", fontsize="medium")
    low, high = panel.get_ylim()
    heights = [text.xyann[1] for text in panel.texts if isinstance(text, Annotation)]
    panel.set_ylim(min([low, *heights]) - gap, max([high, *heights]) + gap)
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)


def _chosen(nodes: Sequence[str] | None, names: list[str], standard: np.ndarray) -> np.ndarray:
    """Return the numbers of the nodes to draw: those asked for, or the eight with the largest weights."""
    if nodes is None:
        return np.sort(np.argsort(-np.nanmax(np.abs(standard), axis=0), kind="stable")[:8])
    if not len(nodes):
        message = f"nodes=[] was given; name at least one of {names}, or leave it out."
        raise ValueError(message)
    unknown = [node for node in nodes if node not in names]
    if unknown:
        message = f"{unknown[0]!r} is not a node; choose from {names}."
        raise KeyError(message)
    return np.array([names.index(node) for node in nodes])


def _name(panel: Axes, x: float, points: np.ndarray, genes: np.ndarray, sign: int, gap: float) -> None:
    """Write names of genes beside their points, away from zero as far as it takes to keep them apart."""
    line = {"arrowstyle": "-", "color": NEUTRAL, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)}
    last = -np.inf
    for row in np.argsort(sign * points[:, 1], kind="stable"):
        last = max(sign * points[row, 1], last + gap)
        panel.annotate(
            genes[row], points[row], xytext=(x, sign * last), fontsize="x-small", va="center", arrowprops=line,
            annotation_clip=False,
        )  # fmt: skip
