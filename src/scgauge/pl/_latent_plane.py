"""The plane in which latent points are drawn, and the colours of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import Normalize

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

TIME_COLORS = "viridis"


def plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return mean, axes ``(n_latent, 2)`` and names of the plane of most variance; two dimensions stay as they are."""
    if points.shape[1] <= 2:
        axes = np.eye(points.shape[1], 2)
        return np.zeros(points.shape[1]), axes, ["Z_0", "Z_1" if points.shape[1] == 2 else ""]
    mean = points.mean(0)
    _, values, vectors = np.linalg.svd(points - mean, full_matrices=False)
    share = values**2 / (values**2).sum()
    names = [f"latent PC{index + 1} ({100 * share[index]:.0f} %)" for index in range(2)]
    return mean, vectors[:2].T, names


def scatter_times(panel: Axes, flat: np.ndarray, times: np.ndarray, title: str) -> PathCollection:
    """Draw cells coloured by time, with a bar of the scale beside the panel."""
    order = np.random.default_rng(0).permutation(len(flat))
    size = float(np.clip(20_000 / len(flat), 3, 18))
    drawn = panel.scatter(
        flat[order, 0],
        flat[order, 1],
        c=times[order],
        s=size,
        cmap=TIME_COLORS,
        norm=Normalize(times.min(), times.max()),
        linewidths=0,
        alpha=0.75,
    )
    bar = panel.figure.colorbar(drawn, ax=panel, shrink=0.8, pad=0.02)
    bar.set_label(title)
    return drawn


def times_of(adata: AnnData, params: dict) -> np.ndarray:
    """Return the times of the cells that a result was made with.

    Raises
    ------
    KeyError
        If the column is no longer there.
    """
    key = params["time_key"]
    if key not in adata.obs:
        message = f"Did not find the times of the result, adata.obs[{key!r}]."
        raise KeyError(message)
    return adata.obs[key].to_numpy(dtype=float)
