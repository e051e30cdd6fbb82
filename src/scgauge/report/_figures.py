from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

# Figures of our own, and not pyplot's: no window opens, and none stays open.
from matplotlib.figure import Figure

from scgauge._core.optional import later
from scgauge.pl import embedding_overlay, history, marginals

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from scgauge.report._cells import Cells

DPI = 200
#: Labels in one column of the legend of `embedding_overlay`, the width of a letter and that of a dot, in inches.
_LABELS_PER_COLUMN, _LETTER, _DOT = 14, 0.075, 0.4


def joint_umap(real: np.ndarray, synthetic: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit one UMAP to the latent points of real and synthetic cells, so that both are treated alike.

    Parameters
    ----------
    real, synthetic
        Latent points, ``(n_real, n_latent)`` and ``(n_synthetic, n_latent)``.
    seed
        Seed of the neighbours and of the layout.

    Returns
    -------
    Coordinates of both, two columns each.
    """
    scanpy = later("scanpy")
    both = AnnData(X=np.concatenate([real, synthetic]))
    n_neighbors = min(15, both.n_obs - 1)
    # Exact neighbours for any number of cells. The approximate ones that scanpy takes from 8,192 cells on fail under
    # scipy 1.17 (scanpy 1.11 and 1.12), and for at most 20,000 cells they are slower.
    scanpy.pp.neighbors(both, use_rep="X", n_neighbors=n_neighbors, transformer="sklearn")
    scanpy.tl.umap(both, random_state=seed)
    points = both.obsm["X_umap"]
    return points[: len(real)], points[len(real) :]


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.1)


def size_on_page(path: Path) -> tuple[int, int]:
    """Width and height at which letters of a figure are as large as they were drawn, in CSS pixels (96 per inch)."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return round(width * 96 / DPI), round(height * 96 / DPI)


def save_training(model: Any, path: Path) -> None:
    """Save the four training curves."""
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    history(model, ax=list(figure.subplots(2, 2).flat))
    _save(figure, path)


def overlay_figure(real: np.ndarray, synthetic: np.ndarray, labels: pd.Series | None) -> Figure:
    """Draw the UMAP of real and synthetic cells, with a second panel if there are labels.

    Parameters
    ----------
    real, synthetic
        Coordinates, two columns each.
    labels
        Labels of the real cells, named by their column.
    """
    shown, drawn = (
        AnnData(X=np.ones((len(points), 1), dtype=np.float32), obsm={"X_umap": points}) for points in (real, synthetic)
    )
    if labels is None:
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        embedding_overlay(shown, drawn, ax=figure.subplots())
        return figure
    shown.obs[labels.name] = labels.to_numpy()
    # One panel above the other: side by side, the legends would leave the cells no room on a page.
    n_columns = -(-(labels.nunique() + 1) // _LABELS_PER_COLUMN)
    legend_width = n_columns * (_DOT + _LETTER * max(len("synthetic (00000)"), labels.str.len().max()))
    figure = Figure(figsize=(4.2 + legend_width, 7.6), layout="constrained")
    embedding_overlay(shown, drawn, groupby=labels.name, ax=list(figure.subplots(2, 1)))
    return figure


def save_umap(real: np.ndarray, synthetic: np.ndarray, labels: pd.Series | None, path: Path) -> None:
    """Save :func:`overlay_figure`."""
    _save(overlay_figure(real, synthetic, labels), path)


def marginals_figure(real: AnnData, synthetic: AnnData, layer: str | None) -> Figure:
    """Draw mean and variance, and zero fractions, of the genes of real and synthetic cells."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    marginals(real, synthetic, layer=layer, ax=list(figure.subplots(1, 3)))
    return figure


def save_marginals(cells: Cells, synthetic: AnnData, path: Path) -> None:
    """Save :func:`marginals_figure`."""
    _save(marginals_figure(cells.adata, synthetic, cells.layer), path)
