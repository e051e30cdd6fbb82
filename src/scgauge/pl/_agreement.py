"""Two symmetric matrices of genes side by side, and their entries against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from scipy.spatial.distance import squareform

from scgauge._core.optional import later
from scgauge.metrics import matrix_agreement
from scgauge.pl._figure import NEUTRAL, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

#: Cells of the grid of a density.
_GRID = 60


def cluster_order(matrix: np.ndarray) -> np.ndarray:
    """Order of the genes in which those with similar rows stand together (average linkage of 1 - correlation)."""
    if len(matrix) < 3:
        return np.arange(len(matrix))
    filled = np.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
    centred = filled - filled.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    rows = centred / np.where(norms > 0, norms, 1)[:, None]
    distance = np.clip(1 - rows @ rows.T, 0, 2)
    np.fill_diagonal(distance, 0)
    hierarchy = later("scipy.cluster.hierarchy")
    tree = hierarchy.linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    return hierarchy.leaves_list(tree)


def draw_agreement(
    real: np.ndarray,
    synthetic: np.ndarray,
    shown: np.ndarray,
    *,
    label: str,
    bound: float | None = None,
    ax: Sequence[Axes] | None,
) -> list[Axes]:
    """Draw two heat maps in one order of genes and one colour scale, and a scatter of all pairs.

    Parameters
    ----------
    real, synthetic
        Matrices, ``(n_genes, n_genes)``.
    shown
        Genes of the heat maps.
    label
        Name of an entry.
    bound
        End of the colour scale; the 99th percentile of both matrices if ``None``.
    ax
        Axes of the caller, or ``None``.
    """
    panels = open_axes(3, ax, panel_size=(3.7, 3.4))
    order = shown[cluster_order(real[np.ix_(shown, shown)])]
    upper = np.triu_indices(len(real), 1)
    a, b = real[upper], synthetic[upper]
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    end = bound or max(float(np.percentile(np.abs(np.concatenate([a, b])), 99)), 1e-6)
    for panel, matrix, name in ((panels[0], real, "Real"), (panels[1], synthetic, "Synthetic")):
        image = panel.imshow(
            matrix[np.ix_(order, order)], cmap="RdBu_r", vmin=-end, vmax=end, interpolation="nearest", aspect="auto"
        )
        panel.set(xticks=[], yticks=[])
        panel.set_title(name, fontsize="medium")
        panel.set_xlabel(f"{len(order)} genes, clustered by real cells")
    panels[1].figure.colorbar(image, ax=panels[1], shrink=0.8, extend="both", label=label)
    _scatter(panels[2], a, b)
    panels[2].set_xlabel(f"{label}, real")
    panels[2].set_ylabel(f"{label}, synthetic")
    result = matrix_agreement(real, synthetic)
    panels[2].set_title(f"r = {result.pearson:.2f}   slope = {result.slope:.2f}", fontsize="medium")
    return panels


def _scatter(panel: Axes, a: np.ndarray, b: np.ndarray) -> None:
    """Density of the pairs on a log scale, with the lines of equality and of no dependence."""
    low, high = (float(end) for end in np.percentile(np.concatenate([a, b]), [0.05, 99.95]))
    pad = 0.03 * (high - low) or 1.0
    ends = low - pad, high + pad
    panel.hexbin(
        np.clip(a, *ends), np.clip(b, *ends), gridsize=_GRID, cmap="Greys", extent=(*ends, *ends), mincnt=1,
        linewidths=0.1, norm=LogNorm(vmin=0.2),
    )  # fmt: skip
    panel.axline((0, 0), slope=1, color=NEUTRAL, linestyle="--", linewidth=1.2)
    panel.axhline(0, color=NEUTRAL, linewidth=0.6)
    panel.set(xlim=ends, ylim=ends)
    panel.spines[["top", "right"]].set_visible(False)
