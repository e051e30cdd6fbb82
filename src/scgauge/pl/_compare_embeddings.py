from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import COMPARE_EMBEDDINGS
from scgauge.pl._embedding_quality import basis_name
from scgauge.pl._figure import close_axes, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn


def compare_embeddings(
    adata: AnnData,
    *,
    key: str = COMPARE_EMBEDDINGS,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw how much each pair of embeddings agrees, one matrix for each score; darker is more alike.

    The Procrustes disparity is drawn as 1 - disparity, so that 1 is agreement everywhere.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.compare_embeddings` was run.
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
    List of Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``ax`` does not hold Axes.
    KeyError
        If the result does not exist.
    ValueError
        If ``ax`` has the wrong number of Axes.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_one"] = np.random.default_rng(0).normal(size=(100, 2))
    >>> adata.obsm["X_other"] = adata.obsm["X_one"] ** 3
    >>> scgauge.tl.compare_embeddings(adata, basis=["X_one", "X_other"], n_neighbors=10, rng=0)
    >>> [panel.get_title() for panel in scgauge.pl.compare_embeddings(adata, show=False)]
    ['shared neighbours, k=10', '1 - Procrustes disparity', 'linear CKA']
    """
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or "first" not in result.get("scores", ()):
        message = f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.compare_embeddings(adata, basis=[...])"
        raise KeyError(message)
    scores = result["scores"]
    names = [str(name) for name in result["params"]["basis"]]
    kinds = scores[["metric", "k"]].drop_duplicates().itertuples(index=False)
    panels = [(str(metric), int(k)) for metric, k in kinds]
    size = 0.62 * len(names)
    axes = open_axes(len(panels), ax, panel_size=(1.2 + size, 1.3 + size))
    for number, (panel, (metric, k)) in enumerate(zip(axes, panels, strict=True)):
        matrix = np.eye(len(names))
        for row in scores[(scores["metric"] == metric) & (scores["k"] == k)].itertuples():
            i, j = names.index(str(row.first)), names.index(str(row.second))
            matrix[i, j] = matrix[j, i] = 1 - row.value if metric == "procrustes" else row.value
        panel.imshow(matrix, cmap="Blues", vmin=0, vmax=1.15)
        for i, j in np.ndindex(matrix.shape):
            color = "white" if matrix[i, j] > 0.65 else "black"
            panel.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize="small", color=color)
        labels = [basis_name(name) for name in names]
        panel.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(len(names)), labels if number == 0 else [""] * len(names))
        panel.tick_params(length=0, labelsize="small")
        panel.spines[:].set_visible(False)
        titles = {"recall": f"shared neighbours, k={k}", "procrustes": "1 - Procrustes disparity", "cka": "linear CKA"}
        panel.set_title(titles[metric], fontsize="medium")
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
