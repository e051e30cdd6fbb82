from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData

from scgauge._core.checks import check_adata, check_counts, check_obs_key, check_unique_names
from scgauge._core.matrix import as_rows, column_sums, get_matrix
from scgauge._core.optional import later
from scgauge._core.store import store

Flavor = Literal["pearson_residuals", "seurat_v3", "seurat_v3_paper"]
#: Column of scanpy's table with the number by which each flavor ranks the genes.
_SCORES = {
    "pearson_residuals": "residual_variances",
    "seurat_v3": "variances_norm",
    "seurat_v3_paper": "variances_norm",
}


def _check_flavor(flavor: str) -> None:
    if flavor not in get_args(Flavor):
        message = f"flavor={flavor!r} does not rank counts; use one of {list(get_args(Flavor))}."
        raise ValueError(message)
    if flavor != "pearson_residuals" and find_spec("skmisc") is None:
        message = (
            f"flavor={flavor!r} needs scikit-misc, which is not installed. "
            "Run: pip install scikit-misc, or use flavor='pearson_residuals'."
        )
        raise ImportError(message)


def _rank(shell: AnnData, *, n_top_genes: int, flavor: str, theta: float, batch_key: str | None) -> pd.DataFrame:
    """Table of scanpy, one row per gene, for counts in ``shell.X``."""
    common: dict[str, Any] = {
        "n_top_genes": n_top_genes,
        "batch_key": batch_key,
        "inplace": False,
        "check_values": False,
    }
    scanpy = later("scanpy")
    with warnings.catch_warnings():
        # scanpy 1.12 passes `inplace` to a method for which pandas 3.1 deprecates it.
        warnings.filterwarnings("ignore", message="The inplace keyword in DataFrame", module="scanpy")
        if flavor != "pearson_residuals":
            return scanpy.pp.highly_variable_genes(shell, flavor=flavor, **common)
        # Left alone, scanpy takes the clip of every batch from the size of the first.
        n_batches = 1 if batch_key is None else shell.obs[batch_key].nunique()
        clip = float(np.sqrt(shell.n_obs / n_batches))
        return scanpy.experimental.pp.highly_variable_genes(shell, theta=theta, clip=clip, **common)


def hvg_counts(
    adata: AnnData,
    *,
    n_top_genes: int = 2000,
    flavor: Flavor = "pearson_residuals",
    layer: str | None = None,
    batch_key: str | None = None,
    theta: float = 100.0,
    key_added: str = "highly_variable",
    copy: bool = False,
) -> AnnData | None:
    r"""Mark the genes whose counts vary most, through scanpy.

    ``"pearson_residuals"`` ranks genes by the variance of their analytic Pearson residuals :cite:p:`Lause21`,

    .. math::

        r_{ig} = \frac{x_{ig} - \mu_{ig}}{\sqrt{\mu_{ig} + \mu_{ig}^2 / \theta}}, \qquad
        \mu_{ig} = \frac{\sum_{g'} x_{ig'} \, \sum_{i'} x_{i'g}}{\sum_{i'g'} x_{i'g'}} ,

    clipped to :math:`\pm\sqrt{n}`, with :math:`n` the mean number of cells of a batch. ``"seurat_v3"`` and
    ``"seurat_v3_paper"`` rank by the variance after standardisation with a fitted mean-variance trend and need the
    package scikit-misc. Batches are ranked on their own and combined by the number of batches that select a gene,
    then by its median rank.

    Parameters
    ----------
    adata
        Annotated data matrix with counts.
    n_top_genes
        Number of genes to mark, at most the number of genes that have a count.
    flavor
        How genes are ranked.
    layer
        Layer with the counts, ``adata.X`` if ``None``.
    batch_key
        Column of ``adata.obs`` with the batch.
    theta
        Overdispersion of the Pearson residuals, positive; large values come close to Poisson.
    key_added
        Column of ``adata.var`` that is written. scanpy reads ``"highly_variable"``.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.var[key_added]`` : :class:`pandas.Series` (dtype ``bool``)
        Whether the gene is among the ``n_top_genes``.
    ``adata.var[f"{key_added}_score"]`` : :class:`pandas.Series` (dtype ``float64``)
        The number that ranks the genes, the mean over batches: variance of the residuals, or standardised variance.
    ``adata.var[f"{key_added}_rank"]`` : :class:`pandas.Series` (dtype ``float64``)
        Rank from 0, the median over batches that select the gene; NaN for genes that are not selected in any.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer or ``batch_key`` does not exist.
    ImportError
        If ``flavor`` needs scikit-misc and it is not installed.
    ValueError
        If the matrix does not hold counts, a cell is empty, gene names repeat, the flavor is unknown, ``theta`` is not
        positive, ``n_top_genes`` is not between 1 and the number of genes with a count, or the batch column has missing
        values.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(5.0, (100, 20)).astype("float32")
    >>> counts[:50, 3] = 0
    >>> adata = ad.AnnData(counts)
    >>> scgauge.pp.hvg_counts(adata, n_top_genes=1)
    >>> adata.var_names[adata.var["highly_variable"]].tolist()
    ['3']
    """
    check_adata(adata)
    _check_flavor(flavor)
    check_unique_names(adata)
    if not theta > 0:
        message = f"theta={theta} must be positive."
        raise ValueError(message)
    if batch_key is not None:
        check_obs_key(adata, batch_key, argument="batch_key")
    check_counts(adata, layer)
    matrix = get_matrix(adata, layer)
    n_expressed = int((column_sums(matrix) > 0).sum())
    if not 1 <= n_top_genes <= n_expressed:
        message = f"n_top_genes={n_top_genes} must be from 1 to {n_expressed}, the number of genes with a count."
        raise ValueError(message)
    obs = pd.DataFrame(index=adata.obs_names)
    if batch_key is not None:
        obs[batch_key] = pd.Categorical(adata.obs[batch_key].astype(str))
    shell = AnnData(as_rows(matrix), obs=obs, var=pd.DataFrame(index=adata.var_names))
    table = _rank(shell, n_top_genes=n_top_genes, flavor=flavor, theta=theta, batch_key=batch_key)
    columns = {"": "highly_variable", "_score": _SCORES[flavor], "_rank": "highly_variable_rank"}
    params = {
        "n_top_genes": n_top_genes,
        "flavor": flavor,
        "layer": layer,
        "batch_key": batch_key,
        "theta": theta if flavor == "pearson_residuals" else None,
    }
    return store(
        adata,
        copy=copy,
        var={f"{key_added}{suffix}": table[column].to_numpy() for suffix, column in columns.items()},
        uns={key_added: {"params": params}},
    )
