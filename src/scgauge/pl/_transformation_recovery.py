from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from scgauge._core.keys import TRANSFORMATION_RECOVERY
from scgauge.pl._embedding_quality import basis_name
from scgauge.pl._figure import NEUTRAL, REAL, close_axes, open_axes, tidy
from scgauge.pl._transformation import recovery_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Titles, and the value of a method that shows the truth.
_TITLES = {
    "angle_error": ("angle error, degrees", 0.0),
    "log_scale_error": ("log scale error", 0.0),
    "anisotropy": ("anisotropy", 1.0),
    "skill": ("skill", 1.0),
    "leakage": ("leakage", 0.0),
    "cosine": ("cosine of displacements", 1.0),
}
#: Values below this are drawn at the edge of the panel of skill.
_LOWEST_SKILL = -1.5


def _dots(panel: Axes, table: pd.DataFrame, methods: list[str], *, hollow: bool) -> None:
    """One dot for each seed, group and time, and a line at the mean."""
    for row, method in enumerate(methods):
        values = table.loc[table["method"] == method, "value"].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        place = row + (0.2 if hollow else -0.2)
        spread = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(len(values))
        color = "#9A9A9A" if hollow else REAL
        panel.scatter(
            values, place + spread, s=12, facecolors="none" if hollow else color, edgecolors=color, linewidths=0.8
        )
        if len(values):
            panel.plot([values.mean()] * 2, [place - 0.17, place + 0.17], color=color, linewidth=2)
        elif not hollow:
            panel.text(0.5, row, "not defined", ha="center", va="center", fontsize="x-small", transform=_mixed(panel))


def _mixed(panel: Axes) -> object:
    """Across the panel in x, along the data in y."""
    return panel.get_yaxis_transform()


def transformation_recovery(
    adata: AnnData,
    *,
    metrics: Sequence[str] = ("angle_error", "log_scale_error", "skill", "leakage"),
    key: str = TRANSFORMATION_RECOVERY,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how well each method shows a known transformation, beside what it shows where nothing moved.

    Filled dots are the seeds, groups and times of transformed cells, hollow ones those of unmoved cells; bars are
    means. The dotted line is the truth: a method shows the change where its filled dots are nearer to the line than
    noise explains. Skills below -1.5 are drawn at -1.5. "not defined" stands where an embedding does not follow the
    latent points, so that it has no angle or scale.

    Parameters
    ----------
    adata
        Cells on which :func:`scgauge.tl.transformation_recovery` was run.
    metrics
        Scores to draw, one panel each.
    key
        Key in ``adata.uns`` of the result.
    ax
        Axes to draw into, one for each score; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of them if there are several scores, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If the result does not exist.
    ValueError
        If a score is not in the result, or ``ax`` has the wrong number of Axes.

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
    >>> [panel.get_title() for panel in scgauge.pl.transformation_recovery(turned, show=False)][2:]
    ['skill', 'leakage']
    """
    result = recovery_result(adata, key)
    scores = result["scores"]
    unknown = [name for name in metrics if name not in set(scores["metric"])]
    if unknown or not len(metrics):
        message = (
            f"metrics={list(metrics)} has {unknown}, not in the result; choose from {sorted(set(scores['metric']))}."
        )
        raise ValueError(message)
    methods = [str(name) for name in result["params"]["methods"]]
    axes = open_axes(len(metrics), ax, panel_size=(2.7, 1.3 + 0.45 * len(methods)))
    for number, (panel, metric) in enumerate(zip(axes, metrics, strict=True)):
        chosen = scores[scores["metric"] == metric]
        if metric == "skill":
            chosen = chosen.assign(value=chosen["value"].clip(lower=_LOWEST_SKILL))
        title, perfect = _TITLES.get(metric, (metric, np.nan))
        if np.isfinite(perfect):
            panel.axvline(perfect, color=NEUTRAL, linewidth=0.9, linestyle=":")
        for data in ("transformed", "identity"):
            _dots(panel, chosen[chosen["data"] == data], methods, hollow=data == "identity")
        names = [basis_name(name) for name in methods] if number == 0 else [""] * len(methods)
        panel.set_yticks(range(len(methods)), names)
        panel.set_ylim(len(methods) - 0.5, -0.5)
        panel.set_title(title, fontsize="medium")
    shapes = [("transformed", REAL, REAL), ("nothing moved", "#9A9A9A", "none")]
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=edge, markerfacecolor=face, label=label)
        for label, edge, face in shapes[: 1 + ("identity" in set(scores["data"]))]
    ]
    axes[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small")
    tidy(axes)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
