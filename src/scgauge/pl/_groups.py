from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.rng import seeded
from scgauge.pl._figure import BACKGROUND, NEUTRAL, close_axes, group_colors, open_axes, tidy
from scgauge.pl._latent_plane import plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Points of a drawn course.
_GRID = 41


def groups(
    model: Any,
    *,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the groups that a model with several dynamics has learned, and their shares of each snapshot.

    Left, the cells in the plane of the two principal components of the latent points with the most variance (two latent
    dimensions are drawn as they are), in the colour of their most probable group, paler the less certain it is; lines
    are the mean courses of the groups, dots their places at the training times. Right, the mean probability of each
    group over the cells of a time. Shares that change are growth, death or sampling, none of which the groups know of.

    Parameters
    ----------
    model
        Trained :class:`scgauge.model.ODEVI` of snapshots.
    ax
        Two Axes; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The two Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If the model has no groups, or ``ax`` holds something other than Axes.
    ValueError
        If the model knows individuals instead of snapshots, or ``ax`` does not hold two Axes.
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(90, 30, times=(0, 1, 2), rng=0)
    >>> scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    >>> model = scgauge.model.ODEVI(adata, n_latent=2, n_groups=2)
    >>> model.train(max_epochs=2, plan_kwargs={"n_flow_steps": 5}, enable_progress_bar=False)
    >>> panels = scgauge.pl.groups(model, show=False)
    >>> len(panels)
    2
    """
    if isinstance(model, type) or not hasattr(model, "get_groups"):
        message = f"`model` is {type(model).__name__}, which has no groups. Pass a trained scgauge.model.ODEVI."
        raise TypeError(message)
    table = model.get_groups()
    known, time_key = model.training_times, model.registry_["setup_args"]["time_key"]
    grid = np.linspace(known[0], known[-1], _GRID)
    courses = model.get_group_trajectories(times=np.r_[grid, known])
    with seeded(0):  # the encoder also draws numbers, which nobody reads here
        points = model.get_latent_representation()
    panels = open_axes(2, ax, panel_size=(4.6, 3.6))
    names = list(table["group"].cat.categories)
    colors = group_colors(names)
    mean, axes, labels = plane(points)
    probability = table.drop(columns="group").to_numpy()
    _draw_cells(panels[0], (points - mean) @ axes, probability, [colors[name] for name in names])
    for name, course in zip(names, (courses - mean) @ axes, strict=True):
        panels[0].plot(*course[:_GRID].T, color="white", linewidth=3.4, zorder=3)
        panels[0].plot(*course[:_GRID].T, color=colors[name], linewidth=1.8, zorder=3, label=name)
        panels[0].scatter(
            course[_GRID:, 0], course[_GRID:, 1], color=colors[name], s=26, zorder=4, edgecolors="white", linewidths=0.8
        )
    panels[0].set_title("groups and their mean courses", loc="left", fontsize="medium")
    panels[0].set(xlabel=labels[0], ylabel=labels[1], xticks=[], yticks=[])
    own = model.adata.obs[time_key].to_numpy(dtype=float)
    shares = np.stack([probability[own == time].mean(0) for time in known])
    for name, share in zip(names, shares.T, strict=True):
        panels[1].plot(known, share, color=colors[name], marker="o", markersize=4, label=name)
    panels[1].set_title("share of the cells of a time", loc="left", fontsize="medium")
    panels[1].set(xlabel=time_key, ylabel="share", ylim=(0, 1.02))
    panels[1].axhline(0, color=NEUTRAL, linewidth=0.5)
    panels[1].legend(title="group", loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small")
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _draw_cells(panel: Axes, flat: np.ndarray, probability: np.ndarray, colors: list[Any]) -> None:
    """Draw cells in the colour of their most probable group, mixed with grey where the group is uncertain."""
    n_groups, best = probability.shape[1], probability.argmax(1)
    certain = 1.0 if n_groups == 1 else (probability.max(1, keepdims=True) - 1 / n_groups) / (1 - 1 / n_groups)
    grey = np.array([int(BACKGROUND[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    mixed = certain * np.array(colors)[best] + (1 - certain) * grey
    order = np.random.default_rng(0).permutation(len(flat))
    size = float(np.clip(20_000 / len(flat), 3, 18))
    panel.scatter(flat[order, 0], flat[order, 1], c=mixed[order], s=size, linewidths=0, alpha=0.75)
