from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata, check_binary, check_same_genes
from scgauge._core.matrix import as_rows, get_matrix
from scgauge.metrics import log_odds_ratio
from scgauge.pl._agreement import draw_agreement
from scgauge.pl._figure import close_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def log_odds(
    real: AnnData,
    synthetic: AnnData,
    *,
    layer: str | None = "binary",
    n_genes: int = 50,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Compare the log odds ratios of all pairs of genes between real and synthetic binary data.

    Heat maps of the genes with the strongest associations in the real cells, in one order and colour scale, and a
    density of all pairs with the line of equality :cite:p:`Nussberger21`. A slope below 1 says that the model has
    weaker associations than the cells. Half a count is added to every cell of the 2 x 2 tables.

    Parameters
    ----------
    real
        Real cells.
    synthetic
        Synthetic cells with the same genes, binarised with the thresholds of the real ones.
    layer
        Layer of both with zeros and ones as :func:`scgauge.pp.binarize` writes it; ``X`` if ``None``.
    n_genes
        Number of genes in the heat maps.
    ax
        Three Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    A list of three Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If one of the two is not an AnnData, or ``ax`` holds something other than Axes.
    KeyError
        If the layer does not exist.
    ValueError
        If the genes differ, values are not 0 or 1, there are fewer than two genes to show, or the number of Axes is
        wrong.

    Examples
    --------
    >>> import scgauge
    >>> real = scgauge.datasets.simulate_binary_blocks(500, 20, rng=0)
    >>> synthetic = scgauge.datasets.simulate_binary_blocks(500, 20, rng=1)
    >>> len(scgauge.pl.log_odds(real, synthetic, layer=None, show=False))
    3
    """
    for adata, name in ((real, "real"), (synthetic, "synthetic")):
        check_adata(adata, name=name)
        check_binary(adata, layer)
    synthetic = check_same_genes(real, synthetic)
    if min(n_genes, real.n_vars) < 2:
        message = f"n_genes={n_genes} of {real.n_vars} genes were asked for; at least 2 are needed."
        raise ValueError(message)
    ours, theirs = (log_odds_ratio(as_rows(get_matrix(adata, layer))).log_odds for adata in (real, synthetic))
    strength = np.nanmean(np.abs(ours), axis=1)
    shown = np.argsort(-strength, kind="stable")[:n_genes]
    panels = draw_agreement(ours, theirs, shown, label="log odds ratio", ax=ax)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)
