from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize

from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import EMBEDDING_DISTORTION
from scgauge.pl._embedding_quality import basis_name
from scgauge.pl._figure import NEUTRAL, close_axes, open_axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Smallest and largest radius of an ellipse, in units of the space between two.
_SMALLEST, _LARGEST = 0.05, 1.0


def _on_a_grid(points: np.ndarray, n_across: int) -> tuple[np.ndarray, float]:
    """Cells nearest to the middle of each occupied square of a grid, and the side of the squares."""
    low = points.min(axis=0)
    side = float((points.max(axis=0) - low).max()) / n_across
    squares = np.floor((points - low) / side).astype(np.int64)
    off = np.square((points - low) / side - squares - 0.5).sum(axis=1)
    order = np.argsort(off, kind="stable")
    _, first = np.unique(squares[order], axis=0, return_index=True)
    return order[first], side


def _draw_ellipses(panel: Axes, centres: np.ndarray, metric: np.ndarray, side: float) -> None:
    """Draw what a small circle around each of some cells becomes, ``(n, 2)`` and ``(n, 4)``."""
    values, vectors = np.linalg.eigh(metric.reshape(-1, 2, 2))
    radii = np.sqrt(np.maximum(values[:, ::-1], 0))
    typical = np.median(np.sqrt(radii.prod(axis=1))) or 1.0
    radii = np.clip(0.32 * side * radii / typical, _SMALLEST * side, _LARGEST * side)
    angles = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    panel.add_collection(
        EllipseCollection(
            2 * radii[:, 0],
            2 * radii[:, 1],
            angles,
            units="xy",
            offsets=centres,
            offset_transform=panel.transData,
            facecolors="none",
            edgecolors=NEUTRAL,
            linewidths=0.9,
        )
    )
    reach = radii.max(axis=1, keepdims=True)
    panel.update_datalim(np.concatenate([centres - reach, centres + reach]))
    panel.autoscale_view()


def distortion(
    adata: AnnData,
    *,
    basis: str,
    n_across: int = 22,
    key: str = EMBEDDING_DISTORTION,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw what an embedding makes of small circles of equal true size.

    Each ellipse is a neighbourhood that is round and equally large in the true space: large ellipses are regions that
    the picture blows up, long ones regions that it stretches in one direction. Colours show the log of the area of
    every cell, red where the picture is too large and blue where it is too small. Ellipses are limited to the space
    between them.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.embedding_distortion` was run.
    basis
        Key in ``adata.obsm`` of one of its embeddings, with two columns.
    n_across
        Ellipses across the longer side of the picture.
    key
        Its ``key_added``.
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
        If the result does not exist, or has no such basis.
    ValueError
        If the embedding has another number of columns than two, or ``n_across`` is less than 1.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((300, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).uniform(size=(300, 2))
    >>> adata.obsm["X_wide"] = adata.obsm["X_pca"] * [3.0, 1.0]
    >>> scgauge.tl.embedding_distortion(adata, basis="X_wide", n_neighbors=30)
    >>> scgauge.pl.distortion(adata, basis="X_wide", show=False).get_title()
    'wide: median anisotropy 3.1, broken 0.0 %'
    """
    check_adata(adata)
    column, start = f"{key}_{basis}_log_area", f"{key}_{basis}"
    if key not in adata.uns or column not in adata.obs or f"{start}_metric" not in adata.obsm:
        message = (
            f"Did not find a result for {basis!r} in adata.uns[{key!r}]. "
            f"Run: scgauge.tl.embedding_distortion(adata, basis={basis!r})"
        )
        raise KeyError(message)
    points = check_obsm_key(adata, basis, argument="basis")
    if points.shape[1] != 2 or n_across < 1:
        message = f"adata.obsm[{basis!r}] has {points.shape[1]} columns and n_across={n_across}; 2 and >= 1 are needed."
        raise ValueError(message)
    (panel,) = open_axes(1, ax, panel_size=(4.9, 4.2))
    log_area = adata.obs[column].to_numpy(dtype=float)
    finite = np.isfinite(log_area)
    limit = max(float(np.percentile(np.abs(log_area[finite]), 98)), 1e-3) if finite.any() else 1.0
    size = float(np.clip(14 * 1500 / adata.n_obs, 0.5, 14))
    colors = np.clip(np.nan_to_num(log_area, nan=0, neginf=-limit, posinf=limit), -limit, limit)
    x, y = points.T
    norm = Normalize(-limit, limit)
    image = panel.scatter(x, y, c=colors, cmap="RdBu_r", norm=norm, s=size, linewidths=0, rasterized=True)
    chosen, side = _on_a_grid(points, n_across)
    _draw_ellipses(panel, points[chosen], np.asarray(adata.obsm[f"{start}_metric"])[chosen], side)
    panel.set_aspect("equal", adjustable="datalim")
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.7, extend="both")
    bar.set_label("log area drawn, less its median", fontsize="small")
    name = basis_name(basis)
    anisotropy = float(adata.obs[f"{start}_anisotropy"].median())
    broken = 100 * float(adata.obs[f"{start}_broken"].mean())
    panel.set_title(f"{name}: median anisotropy {anisotropy:.1f}, broken {broken:.1f} %", fontsize="medium")
    panel.set(xticks=[], yticks=[], xlabel=f"{name} 1", ylabel=f"{name} 2")
    panel.spines[["top", "right"]].set_visible(False)
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
