from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import SIGNATURE_ACTIVITY
from scgauge.pl._figure import BACKGROUND, NEUTRAL, REAL, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def signature_activity(
    adata: AnnData,
    *,
    key: str = SIGNATURE_ACTIVITY,
    group: str | None = None,
    n_names: int = 8,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how the activity of signatures differs between groups, active ones in colour.

    With ``marginal=True`` in :func:`scgauge.tl.signature_activity` a second panel has the adjusted p-values of each
    active signature (rows) without the genes of each other one (columns): a dark row is a signature whose difference
    belongs to others.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.signature_activity` was run.
    key
        Key of its result.
    group
        Group whose comparison is drawn; the first if ``None``.
    n_names
        Number of active signatures to name, those of the first fronts.
    ax
        Axes to draw into, two with marginal activities; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of two with marginal activities, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` holds something other than Axes.
    KeyError
        If ``adata.uns[key]`` is no result of :func:`scgauge.tl.signature_activity`, or the group is unknown.

    Examples
    --------
    >>> import scanpy as sc, scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 60, rng=0)
    >>> sc.pp.log1p(adata)
    >>> adata.obs["half"] = ["first"] * 50 + ["second"] * 50
    >>> scgauge.model.Autoencoder.setup_anndata(adata)
    >>> model = scgauge.model.Autoencoder(adata, n_latent=3, n_layers=0)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> scgauge.tl.signatures(adata, model, cutoff=1.5)
    >>> scgauge.tl.signature_activity(adata, groupby="half")
    >>> scgauge.pl.signature_activity(adata, show=False).get_title(loc="left")
    'first against rest'
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or "tests" not in result:
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.signature_activity(adata, groupby=...)"
        raise KeyError(message)
    tests = result["tests"]
    known = tests["group"].astype(str).unique().tolist()
    group = known[0] if group is None else group
    if group not in known:
        message = f"group={group!r} was given; choose from {known}."
        raise KeyError(message)
    table = tests[tests["group"].astype(str) == group]
    has_marginal = "marginal" in result
    panels = open_axes(1 + has_marginal, ax, panel_size=(5.0, 4.2))
    _volcano(panels[0], table, n_names)
    panels[0].set_title(f"{group} against {table['reference'].iloc[0]}", loc="left", fontsize="medium")
    tidy(panels[:1])
    if has_marginal:
        marginal = result["marginal"]
        _heat_map(panels[1], marginal[marginal["group"].astype(str) == group], table)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)


def _height(padj: Any) -> np.ndarray:
    return -np.log10(np.clip(np.nan_to_num(np.asarray(padj, dtype=float), nan=1.0), 1e-300, 1))


def _volcano(panel: Axes, table: pd.DataFrame, n_names: int) -> None:
    x, y = table["difference"].to_numpy(), _height(table["padj"])
    is_active = table["active"].to_numpy(dtype=bool)
    panel.scatter(
        x[~is_active], y[~is_active], s=14, color=BACKGROUND, linewidths=0, label=None if is_active.all() else "other"
    )
    panel.scatter(x[is_active], y[is_active], s=20, color=REAL, linewidths=0, label="active")
    panel.axvline(0, color=NEUTRAL, linewidth=0.7)
    panel.axhline(-np.log10(0.05), color=NEUTRAL, linewidth=0.7, linestyle="--")
    active = np.flatnonzero(is_active)
    named = active[np.lexsort((-np.abs(x[active]), table["front"].to_numpy()[active]))][:n_names]
    taken: list[tuple[float, float]] = []
    width, height = max(np.ptp(x), 1e-12), max(np.ptp(y), 1e-12)
    for index in named:
        at = y[index]
        while any(abs(x[index] - other) < 0.3 * width and abs(at - level) < 0.045 * height for other, level in taken):
            at -= 0.045 * height
        taken.append((x[index], at))
        right = x[index] < x.min() + 0.7 * width
        # A name that had to move is led to its point.
        line = (
            {"arrowstyle": "-", "color": NEUTRAL, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1}
            if at < y[index]
            else None
        )
        panel.annotate(
            str(table["signature"].iloc[index]),
            (x[index], y[index]),
            xytext=(x[index] + (0.02 if right else -0.02) * width, at),
            ha="left" if right else "right",
            va="center",
            fontsize="x-small",
            arrowprops=line,
        )
    panel.set(xlabel="difference of mean activities", ylabel="$-\\log_{10}$ adjusted p")
    panel.locator_params(axis="x", nbins=5)
    panel.margins(x=0.12, y=0.08)
    panel.legend(loc="best", frameon=False, fontsize="small")


def _heat_map(panel: Axes, marginal: pd.DataFrame, table: pd.DataFrame) -> None:
    active = table[table["active"]]
    names = active["signature"].astype(str).tolist()
    place = {name: index for index, name in enumerate(names)}
    heat = np.full((len(names), len(names)), np.nan)
    heat[np.arange(len(names)), np.arange(len(names))] = _height(active["padj"])
    for row in marginal.itertuples():
        heat[place[str(row.signature)], place[str(row.given)]] = _height([row.padj])[0]
    image = panel.imshow(heat, cmap="viridis", aspect="auto", vmin=0)
    size = "x-small" if len(names) <= 20 else 5
    panel.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    panel.set_yticks(range(len(names)), names, fontsize=size)
    panel.set(xlabel="without the genes of", ylabel="signature")
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.6)
    bar.set_label("$-\\log_{10}$ adjusted p", fontsize="small")
