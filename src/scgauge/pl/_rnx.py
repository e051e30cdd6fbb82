from __future__ import annotations

from typing import TYPE_CHECKING

from scgauge._core.keys import EMBEDDING_QUALITY
from scgauge.pl._embedding_quality import basis_name, quality_result
from scgauge.pl._figure import NEUTRAL, close_axes, group_colors, open_axes, tidy

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def rnx(
    adata: AnnData,
    *,
    key: str = EMBEDDING_QUALITY,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw R_NX of each embedding over the number of neighbours: which scales it shows.

    On the left are the nearest neighbours, on the right the arrangement of groups; 0 is chance, 1 perfect
    :cite:p:`Lee15`. The legend has the area under each curve over ln k.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.embedding_quality` was run.
    key
        Key in ``adata.uns`` of the result.
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
        If ``adata.uns[key]`` does not exist or is not a result of :func:`scgauge.tl.embedding_quality`.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(100, 5))
    >>> adata.obsm["X_copy"] = 2 * adata.obsm["X_pca"]
    >>> scgauge.tl.embedding_quality(adata, basis="X_copy", n_neighbors=10, rng=0)
    >>> scgauge.pl.rnx(adata, show=False).get_legend().get_texts()[0].get_text()
    'copy (1.00)'
    """
    result = quality_result(adata, key)
    scores = result["scores"]
    area = scores[scores["metric"] == "auc_lnk"].set_index("basis")["value"]
    (panel,) = open_axes(1, ax, panel_size=(4.8, 3.2))
    colors = group_colors(list(area.index))
    for name, value in area.items():
        curve = result["rnx"][result["rnx"]["basis"] == name]
        label = f"{basis_name(str(name))} ({value:.2f})"
        panel.plot(curve["k"], curve["rnx"], color=colors[str(name)], label=label, linewidth=1.6)
    panel.axhline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
    panel.set(xscale="log", xlabel="number of neighbours k", ylabel="$R_{NX}(k)$", ylim=(None, 1.02))
    panel.legend(
        title="embedding (area)",
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        alignment="left",
    )
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
