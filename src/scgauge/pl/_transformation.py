from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import LATENT, TRANSFORM_LATENT, TRANSFORMATION_RECOVERY
from scgauge.pl._embedding_quality import basis_name
from scgauge.pl._figure import BACKGROUND, close_axes, group_colors, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Area of a dot in points squared for few cells, and the number of cells of a time from which on it shrinks.
_DOT, _SHRINKS_AT = 8.0, 500


def recovery_result(adata: AnnData, key: str) -> dict[str, Any]:
    """Return the result of :func:`scgauge.tl.transformation_recovery`; KeyError if there is none."""
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= {"params", "scores", "distances"}:
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.transformation_recovery(adata)"
        raise KeyError(message)
    return result


def transformation(
    adata: AnnData,
    *,
    key: str = TRANSFORMATION_RECOVERY,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw transformed cells at each time: the truth in the first row, what each method shows of it below.

    Columns are times; axes are the same along each row, so that movement is movement. Groups that stay are pale grey,
    groups that move have a colour each. The truth is drawn in the plane in which groups moved.

    Parameters
    ----------
    adata
        Cells on which :func:`scgauge.tl.transformation_recovery` was run.
    key
        Its ``key_added``.
    ax
        Axes to draw into, row by row; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    List of Axes, row by row, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If the result or an embedding of it does not exist.
    ValueError
        If ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> turned = scgauge.tl.transform_latent(
    ...     adata, model, groupby="group", transformations={"group_0": {"rotate": 30.0}}, n_steps=1, rng=0
    ... )
    >>> scgauge.tl.transformation_recovery(turned, methods="pca", n_seeds=1, n_pcs=10, rng=0, progress=False)
    >>> [panel.get_ylabel() for panel in scgauge.pl.transformation(turned, show=False)]
    ['truth', '', 'PCA', '']
    """
    result = recovery_result(adata, key)
    design = adata.uns[TRANSFORM_LATENT]["params"]
    plane = [int(axis) for axis in design["plane"]]
    rows = {"truth": check_obsm_key(adata, LATENT)[:, plane]}
    for name in result["params"]["methods"]:
        rows[basis_name(str(name))] = check_obsm_key(adata, f"X_{key}_{name}", argument="key")
    n_times = int(design["n_steps"]) + 1
    time = adata.obs["time"].to_numpy()
    labels = adata.obs[design["groupby"]].astype(str).to_numpy()
    moves = adata.obs["transformed"].to_numpy(dtype=bool)
    colors = group_colors(np.unique(labels[moves]))
    axes = open_axes(n_times, ax, n_rows=len(rows), panel_size=(2.1, 2.0))
    size = float(np.clip(_DOT * _SHRINKS_AT * n_times / adata.n_obs, 0.5, _DOT))
    for row, (name, points) in enumerate(rows.items()):
        shown = points if points.shape[1] > 1 else np.column_stack([points[:, 0], np.zeros(len(points))])
        low, high = shown[:, :2].min(axis=0), shown[:, :2].max(axis=0)
        margin = 0.04 * (high - low + 1e-9)
        for column in range(n_times):
            panel = axes[row * n_times + column]
            for chosen, color in ((~moves, BACKGROUND), *(((labels == group), colors[group]) for group in colors)):
                cells = chosen & (time == column)
                panel.scatter(shown[cells, 0], shown[cells, 1], s=size, color=color, linewidths=0, rasterized=True)
            limits = np.transpose([low - margin, high + margin])
            panel.set(xticks=[], yticks=[], xlim=limits[0], ylim=limits[1])
            if column == 0:
                panel.set_ylabel(name)
            if row == 0:
                panel.set_title(f"time {column}", fontsize="medium")
            elif column > 0:  # a label without ink, for readers by program
                panel.set_xlabel(f"{name}, time {column}", fontsize=1, alpha=0, labelpad=0)
    handles = [Line2D([], [], marker="o", linestyle="", color=colors[group], label=group) for group in colors]
    handles.append(Line2D([], [], marker="o", linestyle="", color=BACKGROUND, label="stay"))
    axes[n_times - 1].legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small"
    )
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
