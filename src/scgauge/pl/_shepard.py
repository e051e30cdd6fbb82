from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.keys import EMBEDDING_QUALITY
from scgauge.pl._embedding_quality import basis_name, quality_result
from scgauge.pl._figure import NEUTRAL, REAL, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Bins of the running median.
_BINS = 15


def shepard(
    adata: AnnData,
    *,
    key: str = EMBEDDING_QUALITY,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw distances in embeddings against the true distances of the same pairs of cells: the diagram of Shepard.

    Points on the dotted line are pairs whose distance is shown as it is, after the embedding was scaled as a whole; the
    dark line is the median, the band holds the middle half of the pairs. A flat line says that the picture does not
    tell far from very far; points high up on the left are neighbours torn apart. The title has the rank correlation and
    the stress.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.embedding_quality` was run.
    key
        Key in ``adata.uns`` of the result.
    ax
        Axes to draw into, one for each embedding; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of them if there are several embeddings, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If ``adata.uns[key]`` does not exist or is not a result of :func:`scgauge.tl.embedding_quality`.
    ValueError
        If ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(100, 5))
    >>> adata.obsm["X_copy"] = 2 * adata.obsm["X_pca"]
    >>> scgauge.tl.embedding_quality(adata, basis="X_copy", n_neighbors=10, rng=0)
    >>> scgauge.pl.shepard(adata, show=False).get_title()
    'copy: r = 1.00, stress = 0.00'
    """
    result = quality_result(adata, key)
    scores = result["scores"]
    values = scores[scores["metric"].isin(["spearman", "stress"])].set_index(["basis", "metric"])["value"]
    names = [str(name) for name in result["params"]["basis"]]
    axes = open_axes(len(names), ax, panel_size=(3.2, 3.2))
    for panel, name in zip(axes, names, strict=True):
        pairs = result["pairs"][result["pairs"]["basis"] == name]
        true, shown = pairs["true"].to_numpy(), pairs["shown"].to_numpy()
        panel.scatter(true, shown, s=3, color=REAL, alpha=0.25, linewidths=0, rasterized=True)
        order = np.argsort(true)
        parts = np.array_split(order, min(_BINS, len(order)))
        middle = [np.median(true[part]) for part in parts]
        low, median, high = np.transpose([np.percentile(shown[part], [25, 50, 75]) for part in parts])
        panel.fill_between(middle, low, high, color=NEUTRAL, alpha=0.3, linewidth=0)
        panel.plot(middle, median, color=NEUTRAL, linewidth=1.6)
        largest = float(true.max())
        panel.plot([0, largest], [0, largest], color=NEUTRAL, linewidth=0.8, linestyle=":")
        panel.set(xlabel=f"distance in {result['params']['use_rep']}", ylabel="distance shown (scaled)")
        panel.set(xlim=(0, None), ylim=(0, None))
        spearman, stress = values[name, "spearman"], values[name, "stress"]
        panel.set_title(f"{basis_name(name)}: r = {spearman:.2f}, stress = {stress:.2f}", fontsize="medium")
    tidy(axes)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
