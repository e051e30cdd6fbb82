from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import VELOCITY
from scgauge.pl._figure import NEUTRAL, close_axes, open_axes, tidy
from scgauge.pl._latent_plane import plane, scatter_times, times_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Points of the grid along an axis, and the fewest effective cells that a drawn arrow stands for.
_GRID, _FEWEST = 24, 1.5


def _smooth(flat: np.ndarray, arrows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average velocities of near cells on a grid: its two axes and the velocities, NaN where no cell is near."""
    low, high = flat.min(0), flat.max(0)
    margin = 0.03 * (high - low) + 1e-9
    x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], _GRID) for i in range(2))
    steps = np.array([x[1] - x[0], y[1] - y[0]])
    velocity = np.full((_GRID, _GRID, 2), np.nan)
    for row in range(_GRID):
        for column in range(_GRID):
            offset = (flat - [x[column], y[row]]) / steps
            weight = np.exp(-0.5 * np.square(offset).sum(1))
            if weight.sum() >= _FEWEST:
                velocity[row, column] = weight @ arrows / weight.sum()
    return x, y, velocity


def velocity_field(
    adata: AnnData,
    *,
    key: str = VELOCITY,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw streamlines of the velocities of cells in the latent space, over the cells coloured by time.

    Velocities of near cells are averaged on a grid in the plane of the two principal components with the most variance;
    what moves along other directions is not seen. Lines are wider where the cells move faster.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.velocity` was run.
    key
        Key in ``adata.obsm`` of its result.
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
        If the result of :func:`scgauge.tl.velocity` is not there.
    ValueError
        If velocities and points have different shapes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> adata = ad.AnnData(np.ones((200, 1), dtype="float32"), obs={"time": np.repeat([0.0, 1.0], 100)})
    >>> adata.obsm["X_velocity"] = rng.normal(size=(200, 2)) + adata.obs[["time"]].to_numpy()
    >>> adata.obsm["velocity"] = np.ones((200, 2))
    >>> adata.uns["velocity"] = {"params": {"time_key": "time"}}
    >>> panel = scgauge.pl.velocity_field(adata, show=False)
    >>> panel.get_xlabel()
    'Z_0'
    """
    check_adata(adata)
    if key not in adata.uns or key not in adata.obsm or f"X_{key}" not in adata.obsm:
        message = f"Did not find adata.obsm[{key!r}] and its notes. Run: scgauge.tl.velocity(adata, model)"
        raise KeyError(message)
    points, velocities = (check_obsm_key(adata, name, argument="key") for name in (f"X_{key}", key))
    if velocities.shape != points.shape:
        message = (
            f"adata.obsm[{key!r}] has the shape {velocities.shape}, its points {points.shape}. "
            "Run: scgauge.tl.velocity(adata, model)"
        )
        raise ValueError(message)
    (panel,) = open_axes(1, ax, panel_size=(5.2, 4.2))
    mean, axes, names = plane(points)
    params = adata.uns[key]["params"]
    flat = (points - mean) @ axes
    scatter_times(panel, flat, times_of(adata, params), params["time_key"])
    x, y, velocity = _smooth(flat, velocities @ axes)
    speed = np.linalg.norm(velocity, axis=2)
    if np.isfinite(speed).any():
        width = 0.5 + 1.5 * np.nan_to_num(speed / np.nanmax(speed))
        panel.streamplot(
            x, y, velocity[..., 0], velocity[..., 1], color=NEUTRAL, linewidth=width, density=1.1, arrowsize=0.9
        )
    panel.set_title("velocity of the cells", loc="left", fontsize="medium")
    panel.set(xlabel=names[0], ylabel=names[1], xticks=[], yticks=[])
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
