from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection

from scgauge._core.checks import check_adata
from scgauge._core.keys import TRAJECTORY
from scgauge.pl._figure import NEUTRAL, close_axes, open_axes, tidy
from scgauge.pl._latent_plane import plane, scatter_times, times_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def trajectory(
    adata: AnnData,
    *,
    key: str = TRAJECTORY,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the ways of cells through the latent space, over all cells coloured by time.

    The plane is that of the two principal components of the latent points with the most variance (two latent dimensions
    are drawn as they are). Lines end in a dot. Where lines leave the cloud of the later cells, the dynamics do not fit.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.trajectory` was run.
    key
        Key in ``adata.uns`` of its result.
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
        If ``adata.uns[key]`` is not a result of :func:`scgauge.tl.trajectory`.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((4, 1), dtype="float32"), obs={"time": [0.0, 0.0, 1.0, 1.0]})
    >>> adata.obsm["X_trajectory"] = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> paths = np.array([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [2.0, 1.0]]])
    >>> adata.uns["trajectory"] = {"params": {"time_key": "time"}, "times": np.array([0.0, 1.0]), "paths": paths}
    >>> panel = scgauge.pl.trajectory(adata, show=False)
    >>> panel.get_title(loc="left")
    '2 cells followed from 0 to 1'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not {"paths", "times", "params"} <= set(result) or f"X_{key}" not in adata.obsm:
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.trajectory(adata, model)"
        raise KeyError(message)
    (panel,) = open_axes(1, ax, panel_size=(5.2, 4.2))
    points, paths = np.asarray(adata.obsm[f"X_{key}"]), np.asarray(result["paths"])
    mean, axes, names = plane(points)
    times = times_of(adata, result["params"])
    scatter_times(panel, (points - mean) @ axes, times, result["params"]["time_key"])
    order = np.argsort(result["times"])
    lines = ((paths - mean) @ axes)[:, order]
    panel.add_collection(LineCollection(list(lines), colors=NEUTRAL, linewidths=0.7, alpha=0.45))
    panel.scatter(lines[:, -1, 0], lines[:, -1, 1], s=9, color=NEUTRAL, zorder=3, linewidths=0)
    panel.autoscale_view()
    grid = np.asarray(result["times"])[order]
    title = f"{len(paths)} cells followed from {grid[0]:g} to {grid[-1]:g}"
    panel.set_title(title, loc="left", fontsize="medium")
    panel.set(xlabel=names[0], ylabel=names[1], xticks=[], yticks=[])
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
