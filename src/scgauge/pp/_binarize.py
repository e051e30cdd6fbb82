from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.checks import check_adata, check_nonnegative
from scgauge._core.matrix import get_matrix, iter_rows
from scgauge._core.store import store
from scgauge._core.thresholds import above, quantile_thresholds

if TYPE_CHECKING:
    from anndata import AnnData


def _as_mask(train_cells: Any, adata: AnnData) -> np.ndarray:
    """Return the cells to learn from as a boolean mask."""
    if train_cells is None:
        return np.ones(adata.n_obs, dtype=bool)
    mask = np.asarray(train_cells)
    if mask.dtype != bool or mask.shape != (adata.n_obs,):
        message = (
            f"`train_cells` has the dtype {mask.dtype} and the shape {mask.shape}; a boolean mask of all "
            f"{adata.n_obs} cells is needed, for example adata.obs['split'] == 'train'."
        )
        raise TypeError(message)
    if not mask.any():
        message = "`train_cells` marks no cell; thresholds need at least one to be learnt from."
        raise ValueError(message)
    return mask


def _given_thresholds(threshold: Any, adata: AnnData) -> np.ndarray:
    """Thresholds of the genes of `adata` from a number, an array or a Series indexed by gene."""
    if isinstance(threshold, pd.Series):
        missing = adata.var_names.difference(threshold.index)
        if len(missing):
            message = (
                f"`threshold` has no value for {len(missing)} of {adata.n_vars} genes, for example {missing[0]!r}; "
                "learn the thresholds on data with the same genes."
            )
            raise KeyError(message)
        if not threshold.index.is_unique:
            message = f"`threshold` has the gene {threshold.index[threshold.index.duplicated()][0]!r} more than once."
            raise ValueError(message)
        threshold = threshold.loc[adata.var_names].to_numpy()
    try:
        values = np.asarray(threshold, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"threshold={threshold!r} is not a number, an array of numbers, a Series or 'quantile'."
        raise TypeError(message) from error
    if values.shape not in {(), (adata.n_vars,)}:
        message = (
            f"`threshold` has the shape {values.shape}; one number or one for each of {adata.n_vars} genes is needed."
        )
        raise ValueError(message)
    if not (np.isfinite(values) & (values >= 0)).all():
        message = "`threshold` has values that are negative, NaN or infinite; counts are compared with numbers from 0."
        raise ValueError(message)
    return np.broadcast_to(values, (adata.n_vars,)).copy()


def binarize(
    adata: AnnData,
    *,
    layer: str | None = None,
    threshold: float | np.ndarray | pd.Series | Literal["quantile"] = 0,
    quantile: float = 0.5,
    train_cells: np.ndarray | pd.Series | None = None,
    key_added: str = "binary",
    copy: bool = False,
) -> AnnData | None:
    r"""Turn counts into zeros and ones.

    .. math:: b_{ig} = [\, x_{ig} > t_g \,]

    The thresholds :math:`t_g` are given, or are quantiles of each gene that are learnt from the cells. To compare two
    data sets, learn the thresholds on one, the training cells, and use the same for the other: a quantile of each
    data set of its own would give both the same share of ones and hide the difference.

    Parameters
    ----------
    adata
        Annotated data matrix. Any finite values from 0 upward are allowed, so that expression levels (TPM) work too.
    layer
        Layer to read, ``adata.X`` if ``None``.
    threshold
        A number for all genes; an array ``(n_vars,)``; a Series indexed by gene name, for example
        ``train.var["binary_threshold"]``, from which the genes of ``adata`` are taken; or ``"quantile"`` to learn one
        for each gene.
    quantile
        Which quantile is learnt, in ``[0, 1)``. A gene whose quantile is 0, because fewer than ``1 - quantile`` of its
        values are not 0, becomes 1 wherever it is detected.
    train_cells
        Boolean mask ``(n_obs,)`` of the cells from which quantiles are learnt, all if ``None``.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.layers[key_added]`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        Zeros and ones, sparse if the input is.
    ``adata.var[f"{key_added}_threshold"]`` : :class:`pandas.Series` (dtype ``float64``)
        The thresholds, for use with other data.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, ``threshold`` is not numeric, or ``train_cells`` is not a boolean mask of all
        cells.
    KeyError
        If the layer does not exist, or a Series of thresholds lacks a gene.
    ValueError
        If values are negative, NaN or infinite; if ``threshold`` has the wrong length or is negative; if ``quantile``
        is not in ``[0, 1)``; if ``train_cells`` marks no cell.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.array([[0, 3], [1, 5], [0, 9]], dtype="float32"))
    >>> scgauge.pp.binarize(adata)
    >>> adata.layers["binary"].tolist()
    [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]]
    >>> scgauge.pp.binarize(adata, threshold="quantile", key_added="high")
    >>> adata.var["high_threshold"].tolist(), adata.layers["high"].tolist()
    ([0.0, 5.0], [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    """
    check_adata(adata)
    check_nonnegative(adata, layer)
    matrix = get_matrix(adata, layer)
    learn = isinstance(threshold, str) and threshold == "quantile"
    mask = _as_mask(train_cells, adata)
    if not 0 <= quantile < 1:
        message = f"quantile={quantile} must be at least 0 and less than 1."
        raise ValueError(message)
    thresholds = quantile_thresholds(matrix, quantile, cells=mask) if learn else _given_thresholds(threshold, adata)
    blocks = [above(block, thresholds) for _, block in iter_rows(matrix)]
    binary = sparse.vstack(blocks, format="csr") if sparse.issparse(blocks[0]) else np.concatenate(blocks)
    params = {
        "layer": layer,
        "threshold": "quantile" if learn else ("given" if np.ndim(threshold) else float(threshold)),
        "quantile": quantile if learn else None,
        "n_train_cells": int(mask.sum()) if learn else None,
    }
    return store(
        adata,
        copy=copy,
        layers={key_added: binary},
        var={f"{key_added}_threshold": thresholds},
        uns={key_added: {"params": params}},
    )
