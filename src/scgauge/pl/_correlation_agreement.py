from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from scgauge._core.checks import check_adata, check_counts, check_same_genes
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.normalise import log_normalise, median_library
from scgauge.metrics import dependence, gene_marginals
from scgauge.pl._agreement import draw_agreement
from scgauge.pl._figure import close_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Name of an entry of each kind of matrix.
_LABELS = {"pearson": "correlation", "spearman": "rank correlation", "partial": "partial correlation"}


def correlation_agreement(
    real: AnnData,
    synthetic: AnnData,
    *,
    layer: str | None = None,
    kind: Literal["pearson", "spearman", "partial"] = "pearson",
    n_top_genes: int = 200,
    n_genes: int = 50,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Compare the gene-gene correlations of synthetic cells with those of real cells.

    Counts are log-normalised to the median library size of the real cells. Heat maps of the most variable genes in one
    order and colour scale, and a density of all pairs with the line of equality. A slope below 1 says that genes depend
    less on each other in the synthetic cells, a horizontal cloud that they do not at all.

    Parameters
    ----------
    real
        Real cells with counts.
    synthetic
        Synthetic cells with the same genes; counts in ``X``.
    layer
        Layer of ``real`` with the counts, ``real.X`` if ``None``.
    kind
        ``"pearson"``, ``"spearman"`` or ``"partial"`` (given all other genes shown, with shrinkage;
        :func:`scgauge.metrics.dependence`).
    n_top_genes
        Number of genes, those of largest log-normalised variance in the real cells, that are compared.
    n_genes
        Number of them in the heat maps.
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
        If the genes differ, values are not counts, there are fewer than two genes to show, ``kind`` is unknown, or the
        number of Axes is wrong.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 30, rng=0)
    >>> panels = scgauge.pl.correlation_agreement(adata[:100], adata[100:], show=False)
    >>> panels[2].get_xlabel()
    'correlation, real'
    """
    if kind not in _LABELS:
        message = f"kind={kind!r} is unknown; use one of {list(_LABELS)}."
        raise ValueError(message)
    for adata, name, where in ((real, "real", layer), (synthetic, "synthetic", None)):
        check_adata(adata, name=name)
        check_counts(adata, where)
    synthetic = check_same_genes(real, synthetic)
    if min(n_top_genes, n_genes, real.n_vars) < 2:
        message = f"n_top_genes={n_top_genes} and n_genes={n_genes} of {real.n_vars} genes; at least 2 are needed."
        raise ValueError(message)
    target = median_library(as_rows(get_matrix(real, layer)))
    ours, theirs = (
        log_normalise(as_rows(get_matrix(adata, where)), target) for adata, where in ((real, layer), (synthetic, None))
    )
    top = np.argsort(-gene_marginals(ours).variance, kind="stable")[:n_top_genes]
    first, second = (
        dependence(np.asarray(values[:, top].toarray() if sparse.issparse(values) else values[:, top]), kind=kind)
        for values in (ours, theirs)
    )
    panels = draw_agreement(first, second, np.arange(min(n_genes, len(top))), label=_LABELS[kind], ax=ax)
    return close_axes(panels, ax=ax, show=show, return_fig=return_fig)
