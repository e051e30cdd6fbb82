from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy
from scgauge.tl import DistributionShift

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_FOUND, _NOT_FOUND = SYNTHETIC, "#B8B8B8"
_QUESTIONS = {"P(x)": "expression", "P(y)": "proportions", "P(x|y)": "within labels", "P(y|x)": "labels given cells"}


def _legend_above(panel: Axes) -> None:
    """Put the legend beside the title, where no bar is."""
    panel.legend(
        frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1.02, 0.97), ncols=2, handlelength=1,
        columnspacing=1,
    )  # fmt: skip


def _evidence(panel: Axes, result: DistributionShift) -> None:
    """Draw one bar for each question: evidence against equality."""
    asked = result.questions[result.questions["padj"].notna()].iloc[::-1]
    strength = -np.log10(np.maximum(asked["padj"], 1e-6))
    names = [f"{_QUESTIONS[question]}\n{question}" for question in asked["question"]]
    colors = [_FOUND if differs else _NOT_FOUND for differs in asked["differs"]]
    panel.barh(names, strength, color=colors, height=0.6)
    # One question alone would fill the panel.
    free = max(0.0, len(_QUESTIONS) - len(names)) / 2
    panel.set_ylim(-0.5 - free, len(names) - 0.5 + free)
    panel.axvline(-np.log10(result.params["alpha"]), color=NEUTRAL, linestyle="--", linewidth=1.2)
    panel.set_xlabel("$-\\log_{10}$ p (Holm)")
    found = result.shifts.loc[result.shifts["found"], "shift"].tolist()
    panel.set_title("found: " + (", ".join(found) or "none"), loc="left", fontsize="medium")


def _labels(panel: Axes, tests: pd.DataFrame, n_labels: int, names: tuple[str, str]) -> None:
    """Draw shares in both sets, and mark labels whose cells differ."""
    shares = tests[(tests["question"] == "P(y)") & (tests["label"] != "")]
    total = {name: max(1, shares[name].sum()) for name in ("n_x", "n_y")}
    largest = shares[["n_x", "n_y"]].max(axis=1).sort_values(ascending=False).index[:n_labels]
    shares = shares.loc[largest].iloc[::-1]
    place = np.arange(len(shares))
    for column, shift, color, name in (("n_x", 0.2, REAL, names[0]), ("n_y", -0.2, SYNTHETIC, names[1])):
        panel.barh(place + shift, shares[column] / total[column], height=0.38, color=color, label=name)
    within = tests[(tests["question"] == "P(x|y)") & (tests["label"] != "")].set_index("label")["padj"]
    marked = [f"{label} *" if within.get(label, np.nan) <= 0.05 else label for label in shares["label"]]
    panel.set_yticks(place, marked, fontsize="small")
    panel.set_xlabel("share of cells")
    panel.set_title("labels (* cells differ)", loc="left", fontsize="medium")
    _legend_above(panel)


def _genes(panel: Axes, genes: pd.DataFrame, n_genes: int, sets: tuple[str, str]) -> None:
    """Draw the genes with the largest differences, divided where there are labels."""
    total = genes[genes["part"] == "total"]
    names = total.reindex(total["z"].abs().sort_values(ascending=False, kind="stable").index)["gene"][:n_genes][::-1]
    divided = genes.pivot_table(index="gene", columns="part", values="difference", aggfunc="first").reindex(names)
    place = np.arange(len(names))
    if "within" in divided:
        for part, shift, color in (("composition", 0.2, REAL), ("within", -0.2, SYNTHETIC)):
            panel.barh(place + shift, divided[part], height=0.38, color=color, label=part)
        _legend_above(panel)
    else:
        panel.barh(place, divided["total"], height=0.6, color=SYNTHETIC)
    panel.set_yticks(place, names, fontsize="small")
    panel.axvline(0, color=NEUTRAL, linewidth=0.8)
    panel.set_xlabel(f"difference of means, {sets[1]} $-$ {sets[0]}")
    panel.set_title("genes", loc="left", fontsize="medium")


def distribution_shift(
    result: DistributionShift,
    *,
    n_genes: int = 12,
    n_labels: int = 14,
    names: tuple[str, str] = ("x", "y"),
    ax: list[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw what differs between two sets of cells, the labels and the genes.

    Left: evidence against equality for each question, the broken line at the level of the test. Middle (with labels):
    share of each label in both sets; a star marks labels whose cells differ between the sets (adjusted p at most
    0.05). Right: genes with the largest differences of means; with labels divided into what other proportions make of
    the gene and what differs within labels.

    Parameters
    ----------
    result
        What :func:`scgauge.tl.distribution_shift` returned.
    n_genes
        Number of genes.
    n_labels
        Most labels, the largest first.
    names
        What the two sets are called.
    ax
        Axes to draw into: three, or two if there are no labels; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The list of Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``result`` is not a :class:`~scgauge.tl.DistributionShift`, or ``ax`` holds something else than Axes.
    ValueError
        If ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 40, rng=0)
    >>> result = scgauge.tl.distribution_shift(adata[:100], adata[100:], rng=0)
    >>> len(scgauge.pl.distribution_shift(result, show=False))
    2
    """
    if not isinstance(result, DistributionShift):
        message = f"`result` is {type(result).__name__}; what scgauge.tl.distribution_shift returns is needed."
        raise TypeError(message)
    has_labels = (result.tests["question"] == "P(y)").any()
    panels = open_axes(3 if has_labels else 2, ax, panel_size=(4.2, 3.9))
    _evidence(panels[0], result)
    if has_labels:
        _labels(panels[1], result.tests, n_labels, names)
    _genes(panels[-1], result.genes, n_genes, names)
    tidy(panels)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)
