from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.checks import check_adata, check_counts, check_same_genes
from scgauge._core.matrix import get_matrix
from scgauge.metrics import gene_marginals
from scgauge.pl._figure import NEUTRAL, REAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

_DOTS: dict[str, Any] = {"s": 7, "alpha": 0.6, "linewidths": 0, "rasterized": True}
#: Genes in a bin of the trend.
_GENES_PER_BIN = 25


def _paired_genes(real: AnnData, synthetic: AnnData, layer: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Marginals of the same genes in the same order in both data sets."""
    for adata, name, where in ((real, "real", layer), (synthetic, "synthetic", None)):
        check_adata(adata, name=name)
        check_counts(adata, where, allow_empty_cells=True)
        if adata.n_obs < 2:
            message = f"`{name}` has one cell; variances need at least two."
            raise ValueError(message)
    synthetic = check_same_genes(real, synthetic)
    ours = gene_marginals(get_matrix(real, layer)).to_frame(real.var_names)
    theirs = gene_marginals(get_matrix(synthetic, None)).to_frame(synthetic.var_names)
    return ours, theirs


def _trend(genes: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Medians of the mean and of another column in bins of genes with similar means."""
    ordered = genes[genes["mean"] > 0].sort_values("mean")
    n_bins = max(2, min(20, len(ordered) // _GENES_PER_BIN))
    bins = [part for part in np.array_split(np.arange(len(ordered)), n_bins) if len(part)]
    centres = [float(np.median(ordered["mean"].to_numpy()[part])) for part in bins]
    return np.array(centres), np.array([float(np.median(ordered[column].to_numpy()[part])) for part in bins])


def _scatter(panel: Axes, real: pd.DataFrame, synthetic: pd.DataFrame, column: str) -> None:
    """Dots of both data sets against the mean, with a trend of each."""
    for genes, color, name in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        shown = genes[genes["mean"] > 0]
        panel.scatter(shown["mean"], shown[column], color=color, label=name, zorder=2, **_DOTS)
    for genes, color, name in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        centres, medians = _trend(genes, column)
        panel.plot(centres, medians, color="white", linewidth=3.2, zorder=3)  # sets the line off from its dots
        panel.plot(centres, medians, color=color, linewidth=1.6, zorder=4, label=f"{name}, trend")
    panel.set_xscale("log")
    panel.set_xlabel("Mean count of the gene")


def _mean_variance(panel: Axes, real: pd.DataFrame, synthetic: pd.DataFrame) -> None:
    _scatter(panel, real, synthetic, "variance")
    means = np.concatenate([real["mean"], synthetic["mean"]])
    ends = np.array([means[means > 0].min(), means.max()])
    panel.plot(ends, ends, color=NEUTRAL, linestyle="--", linewidth=1.2, zorder=5, label="Poisson")
    panel.set_yscale("log", nonpositive="clip")
    panel.set_ylabel("Variance of the gene")
    panel.legend(frameon=False, fontsize="small", loc="upper left", borderaxespad=0.2, handlelength=1.5)


def _zeros_by_gene(panel: Axes, real: pd.DataFrame, synthetic: pd.DataFrame) -> None:
    panel.plot([0, 1], [0, 1], color=NEUTRAL, linestyle="--", linewidth=1.2, zorder=1)
    panel.scatter(real["zero_fraction"], synthetic["zero_fraction"], color=NEUTRAL, zorder=2, **_DOTS)
    gap = (synthetic["zero_fraction"] - real["zero_fraction"]).abs().mean()
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    panel.set_xlabel("Zero fraction, real")
    panel.set_ylabel("Zero fraction, synthetic")
    panel.set_title(f"mean |difference| {gap:.3f}", fontsize="medium")


def _zeros_by_mean(panel: Axes, real: pd.DataFrame, synthetic: pd.DataFrame) -> None:
    _scatter(panel, real, synthetic, "zero_fraction")
    means = np.concatenate([real["mean"], synthetic["mean"]])
    grid = np.geomspace(means[means > 0].min(), means.max(), 200)
    panel.plot(grid, np.exp(-grid), color=NEUTRAL, linestyle="--", linewidth=1.2, zorder=5, label="Poisson")
    panel.set_ylim(-0.02, 1.02)
    panel.set_ylabel("Zero fraction of the gene")


def marginals(
    real: AnnData,
    synthetic: AnnData,
    *,
    layer: str | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    r"""Compare each gene of synthetic cells with the same gene of real cells.

    Three panels: variance against mean with the line of Poisson counts, :math:`\sigma^2 = \mu`; the zero fraction of
    each gene, synthetic against real, with the line of equality and the mean absolute difference in the title; zero
    fraction against mean with that of Poisson counts, :math:`e^{-\mu}`. Trends are medians in bins of genes with
    similar means. Genes without a count are left out where the axis is logarithmic.

    Parameters
    ----------
    real
        Real cells with counts.
    synthetic
        Synthetic cells with counts in ``X``, for example from :func:`scgauge.tl.sample`; the same genes in any order.
    layer
        Layer of ``real`` with the counts, ``real.X`` if ``None``.
    ax
        Three Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    List of the three Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If a data set is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If the layer does not exist.
    ValueError
        If a matrix does not hold counts, or holds no count at all; if the genes differ or their names repeat; if a data
        set has one cell; if ``ax`` does not have three Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> real, synthetic = (ad.AnnData(rng.poisson(2.0, (50, 30)).astype("float32")) for _ in range(2))
    >>> panels = scgauge.pl.marginals(real, synthetic, show=False)
    >>> [panel.get_ylabel() for panel in panels]
    ['Variance of the gene', 'Zero fraction, synthetic', 'Zero fraction of the gene']
    """
    real_genes, synthetic_genes = _paired_genes(real, synthetic, layer)
    for genes, name in ((real_genes, "real"), (synthetic_genes, "synthetic")):
        if not (genes["mean"] > 0).any():
            message = f"`{name}` has no count at all; there is nothing to draw."
            raise ValueError(message)
    axes = open_axes(3, ax)
    _mean_variance(axes[0], real_genes, synthetic_genes)
    _zeros_by_gene(axes[1], real_genes, synthetic_genes)
    _zeros_by_mean(axes[2], real_genes, synthetic_genes)
    tidy(axes)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
