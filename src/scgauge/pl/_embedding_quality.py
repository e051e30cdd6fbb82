from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.checks import check_adata
from scgauge._core.keys import EMBEDDING_QUALITY
from scgauge.pl._figure import close_axes, open_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Scores in the order of the columns: neighbours, then distances, then labels.
_SHOWN = (
    "recall",
    "trustworthiness",
    "continuity",
    "rnx",
    "auc_lnk",
    "spearman",
    "stress",
    "density",
    "knc",
    "neighborhood_hit",
    "knn_accuracy",
    "silhouette",
)
_NAMES = {
    "rnx": "R_NX",
    "auc_lnk": "AUC of R_NX over ln k",
    "spearman": "Spearman of distances",
    "stress": "1 - stress",
    "knc": "class means kept",
    "neighborhood_hit": "same label",
    "knn_accuracy": "label by vote",
    "lcmc": "LCMC",
}
_METHODS = {"umap": "UMAP", "pca": "PCA", "tsne": "t-SNE", "vae": "VAE", "ldvae": "LDVAE"}


def quality_result(adata: AnnData, key: str) -> dict[str, Any]:
    """Return the result of :func:`scgauge.tl.embedding_quality`; KeyError if there is none."""
    check_adata(adata)
    result = adata.uns.get(key)
    if not isinstance(result, dict) or not set(result) >= {"params", "scores", "rnx"}:
        message = (
            f"Did not find a result in adata.uns[{key!r}]. Run: scgauge.tl.embedding_quality(adata, basis='X_umap')"
        )
        raise KeyError(message)
    return result


def basis_name(basis: str) -> str:
    """Name of an embedding as readers know it: ``"UMAP"`` for ``"X_umap"``."""
    name = basis.removeprefix("X_")
    return _METHODS.get(name.lower().removeprefix("embed_"), name)


def _table(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Embeddings by scores, both in the order of the result, all scores from worse to better."""
    chosen = scores[scores["metric"].isin(metrics)].copy()
    lower = chosen["metric"] == "stress"
    chosen["value"] = chosen["value"].where(~lower, 1 - chosen["value"])
    chosen["place"] = chosen["metric"].map({metric: place for place, metric in enumerate(metrics)})
    chosen = chosen.sort_values(["place", "k"], kind="stable")
    names = chosen["metric"].map(lambda metric: _NAMES.get(metric, metric))
    chosen["column"] = names + [f", k={k}" if k else "" for k in chosen["k"]]
    wide = chosen.pivot_table(index="basis", columns="column", values="value", sort=False, dropna=False)
    return wide.loc[scores["basis"].unique(), chosen["column"].unique()]


def embedding_quality(
    adata: AnnData,
    *,
    metrics: Sequence[str] | None = None,
    key: str = EMBEDDING_QUALITY,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the scores of embeddings as a table of numbers and colours, one row for each embedding.

    All columns run from 0 (pale; negative values too) to 1 (dark): stress is drawn as 1 - stress. The best embedding of
    each column is in bold. Columns are to be compared downwards: a trustworthiness of 0.9 is common for poor
    embeddings, a recall of 0.9 is not found in two dimensions.

    Parameters
    ----------
    adata
        Annotated data matrix on which :func:`scgauge.tl.embedding_quality` was run.
    metrics
        Scores to show, in this order, by their names in the result; ``None`` shows all but LCMC.
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
    ValueError
        If a score is not in the result.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((100, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(100, 5))
    >>> adata.obsm["X_first"] = adata.obsm["X_pca"][:, :2]
    >>> scgauge.tl.embedding_quality(adata, basis="X_first", n_neighbors=10, rng=0)
    >>> panel = scgauge.pl.embedding_quality(adata, metrics=["recall", "continuity"], show=False)
    >>> [text.get_text() for text in panel.get_xticklabels()]
    ['recall, k=10', 'continuity, k=10']
    """
    scores = quality_result(adata, key)["scores"]
    found = set(scores["metric"])
    wanted = [metric for metric in _SHOWN if metric in found] if metrics is None else list(metrics)
    unknown = [metric for metric in wanted if metric not in found]
    if unknown or not wanted:
        message = f"metrics={wanted} has {unknown}, not in the result; choose from {sorted(found)}."
        raise ValueError(message)
    table = _table(scores, wanted)
    values = table.to_numpy()
    n_rows, n_columns = values.shape
    (panel,) = open_axes(1, ax, panel_size=(1.8 + 0.58 * n_columns, 1.9 + 0.42 * n_rows))
    panel.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    best = values >= np.nanmax(values, axis=0) - 1e-12
    for row, column in np.ndindex(values.shape):
        panel.text(
            column,
            row,
            f"{values[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if values[row, column] > 0.65 else "black",
            fontweight="bold" if best[row, column] and n_rows > 1 else "normal",
        )
    panel.set_yticks(range(n_rows), [basis_name(str(name)) for name in table.index])
    panel.set_xticks(range(n_columns), list(table.columns), rotation=45, ha="right", rotation_mode="anchor")
    panel.tick_params(length=0, labelsize="small")
    panel.spines[:].set_visible(False)
    panel.set_title(f"against {quality_result(adata, key)['params']['use_rep']}", loc="left", fontsize="medium")
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
