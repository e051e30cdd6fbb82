from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import LOADINGS
from scgauge._core.store import store
from scgauge.model._factors import Factors, check_linear, factors_of
from scgauge.tl._enrichment import enrichment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from scgauge._core.model_protocol import Adapter
    from scgauge.model._factors import Order, Rotation


def _check_genes(adata: AnnData, adapter: Adapter) -> None:
    missing = adapter.genes.difference(adata.var_names.astype(str))
    if len(missing):
        message = (
            f"`adata` lacks {len(missing)} of the {len(adapter.genes)} genes of the model, for example {missing[0]!r}. "
            "Pass the cells with all genes that the model was trained on."
        )
        raise ValueError(message)


def _cells(adata: AnnData, adapter: Adapter, factors: Factors) -> np.ndarray:
    """Latent means of the cells in the factors, ``(n_obs, n_factors)``."""
    if adata is adapter.model.adata:
        z = adapter.encode()[0]
    else:
        same = adata.n_vars == len(adapter.genes) and (adata.var_names.astype(str) == adapter.genes).all()
        z = adapter.encode(adata=adata if same else adata[:, adapter.genes])[0]
    z = adapter.transform_latent(np.asarray(z, dtype=np.float64))
    return z @ factors.rotation.to_numpy()


def _top_genes(factors: Factors, n_genes: int) -> pd.DataFrame:
    """Genes with the largest absolute loading of each factor, best first."""
    parts = []
    for factor in factors.loadings.columns:
        column = factors.loadings[factor]
        column = column[column != 0]
        best = column.loc[column.abs().sort_values(ascending=False, kind="stable").index[:n_genes]]
        part = pd.DataFrame({"factor": factor, "rank": np.arange(1, len(best) + 1), "gene": best.index.to_numpy()})
        part["loading"] = best.to_numpy()
        if factors.intervals is not None:
            table = factors.intervals[factors.intervals["factor"] == factor].set_index("gene").loc[best.index]
            for name in ("lower", "upper", "local_false_sign_rate"):
                part[name] = table[name].to_numpy()
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def loadings(
    adata: AnnData,
    model: Any,
    *,
    rotation: Rotation | None = None,
    order: Order | None = "explained",
    centered: bool = True,
    n_genes: int = 20,
    interval: float = 0.9,
    gene_sets: Mapping[str, Sequence[str]] | None = None,
    key_added: str = LOADINGS,
    copy: bool = False,
) -> AnnData | None:
    """Write the loadings of a linear model, its factors in the cells and its strongest genes.

    Works for :class:`~scgauge.model.LinearVI`, :class:`~scgauge.model.BayesianLinearVI` (with intervals) and
    :class:`scvi.model.LinearSCVI` :cite:p:`Svensson20`. Draw the result with :func:`scgauge.pl.loadings` and
    :func:`scgauge.pl.factor_scatter`.

    Parameters
    ----------
    adata
        Cells that the model can read: those it was trained on, or others with its genes. Genes that the model does not
        have get NaN.
    model
        Trained model with a linear decoder.
    rotation, order, centered
        See :meth:`scgauge.model.LinearVI.get_loadings`.
    n_genes
        Number of genes to list for each factor.
    interval
        Probability of the credible intervals of a Bayesian model.
    gene_sets
        Genes of each set by its name, to find which sets each factor is about: a univariate linear model of the
        loadings on the membership of genes, by decoupler :cite:p:`BadiaiMompel22` (``pip install 'scgauge[enrich]'``).
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varm[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Loadings, ``(n_vars, n_factors)``, columns in the order of ``"factors"``.
    ``adata.obsm[f"X_{key_added}"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Factors of the cells, ``(n_obs, n_factors)``, in the same order.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments.
        ``"factors"``: data frame with the columns ``factor`` and ``explained`` (share of the explained deviance; NaN
        with ``order=None``).
        ``"top_genes"``: data frame with the columns ``factor``, ``rank``, ``gene``, ``loading`` and, for a Bayesian
        model, ``lower``, ``upper`` and ``local_false_sign_rate``. Loadings of exactly zero are not listed.
        ``"enrichment"``, with `gene_sets`: data frame with the columns ``factor``, ``gene_set``, ``n_genes``, ``score``
        (t statistic of the slope) and ``padj`` (adjusted for the sets of a factor by Benjamini and Hochberg).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or the decoder of the model is not linear.
    RuntimeError
        If the model is not trained.
    ValueError
        If genes of the model are missing, gene names repeat or an argument is out of range.
    ImportError
        If gene sets are given and decoupler is not installed.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> scgauge.tl.loadings(adata, model, rotation="varimax", n_genes=3)
    >>> len(adata.uns["loadings"]["top_genes"])
    6
    """
    check_adata(adata)
    check_unique_names(adata)
    adapter = adapt(model)
    check_linear(adapter)
    _check_genes(adata, adapter)
    if n_genes < 1:
        message = f"n_genes={n_genes} was given; at least 1 is needed."
        raise ValueError(message)
    factors = factors_of(adapter, centered=centered, rotation=rotation, order=order, interval=interval)
    explained = np.full(len(factors.rotation.columns), np.nan) if factors.explained is None else factors.explained
    names = factors.loadings.columns.to_numpy()
    result = {
        "params": {
            "model": type(model).__name__,
            "rotation": rotation,
            "order": order,
            "centered": centered,
            "n_genes": n_genes,
            "interval": None if factors.intervals is None else interval,
        },
        "factors": pd.DataFrame({"factor": names, "explained": np.asarray(explained)}),
        "top_genes": _top_genes(factors, n_genes),
    }
    if gene_sets is not None:
        result["enrichment"] = enrichment(factors.loadings, gene_sets)
    values = factors.loadings.reindex(adata.var_names.astype(str)).to_numpy()
    cells = _cells(adata, adapter, factors)
    return store(adata, copy=copy, varm={key_added: values}, obsm={f"X_{key_added}": cells}, uns={key_added: result})
