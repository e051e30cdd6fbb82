from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.checks import check_adata, check_nonnegative
from scgauge._core.matrix import as_rows, get_matrix, row_sums
from scgauge._core.store import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def _gene_lengths(adata: AnnData, lengths: Any) -> np.ndarray:
    """Length of each gene in bases, ``(n_vars,)``."""
    if isinstance(lengths, str):
        if lengths not in adata.var:
            message = f"Did not find lengths={lengths!r} in adata.var; found {list(adata.var.columns)}."
            raise KeyError(message)
        values = adata.var[lengths]
    elif isinstance(lengths, pd.Series):
        missing = adata.var_names.difference(lengths.index)
        if len(missing):
            message = f"`lengths` lacks {len(missing)} genes, for example {missing[0]!r}."
            raise KeyError(message)
        values = lengths.loc[adata.var_names]
    else:
        values = lengths
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (adata.n_vars,) or not (np.isfinite(found) & (found > 0)).all():
        message = (
            f"`lengths` needs one positive, finite number of bases for each of the {adata.n_vars} genes; found the "
            f"shape {found.shape}" + (f", lengths from {np.min(found)}." if found.shape == (adata.n_vars,) else ".")
        )
        raise ValueError(message)
    return found


def _scaled(matrix: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Multiply rows and columns; sparse stays sparse."""
    if sparse.issparse(matrix):
        result = sparse.csr_matrix(matrix, dtype=np.float64, copy=True)
        result.data *= np.repeat(rows, np.diff(result.indptr)) * columns[result.indices]
        return result.astype(np.float32)
    return (np.asarray(matrix, dtype=np.float64) * rows[:, None] * columns).astype(np.float32)


def _divided(
    adata: AnnData,
    lengths: Any,
    layer: str | None,
    *,
    total: Callable[[Any, np.ndarray], np.ndarray],
    numerator: float,
    key_added: str,
    copy: bool,
) -> AnnData | None:
    """Write reads over the lengths of genes and the total of the cell; empty cells stay empty."""
    check_adata(adata)
    bases = _gene_lengths(adata, lengths)
    check_nonnegative(adata, layer)
    reads = as_rows(get_matrix(adata, layer))
    totals = total(reads, bases)
    scale = np.divide(numerator, totals, out=np.zeros_like(totals), where=totals > 0)
    params = {"layer": layer, "lengths": lengths if isinstance(lengths, str) else "given"}
    result = _scaled(reads, scale, 1 / bases)
    return store(adata, copy=copy, layers={key_added: result}, uns={key_added: {"params": params}})


def tpm(
    adata: AnnData,
    *,
    lengths: str | pd.Series | np.ndarray,
    layer: str | None = None,
    key_added: str = "tpm",
    copy: bool = False,
) -> AnnData | None:
    r"""Compute transcripts per million from reads and gene lengths :cite:p:`Wagner12`.

    :math:`\mathrm{TPM}_{ng} = 10^6\, \frac{x_{ng} / l_g}{\sum_h x_{nh} / l_h}`: the sum of every cell is a million, so
    that values are shares of its transcripts. For protocols that read whole transcripts. Counts of molecules (UMIs) do
    not grow with the length of a gene: do not divide them by it.

    Parameters
    ----------
    adata
        Annotated data matrix with reads.
    lengths
        Effective length of each gene in bases: a column of ``adata.var``, a Series indexed by gene name, or an array
        ``(n_vars,)``.
    layer
        Layer with the reads, ``X`` if ``None``.
    key_added
        Layer that is written.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.layers[key_added]`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        Transcripts per million, sparse if the input is; cells without reads stay 0.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer, the column or the length of a gene does not exist.
    ValueError
        If reads are negative or not finite, or lengths are not positive and finite.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.array([[10, 40], [30, 0]], dtype="float32"))
    >>> scgauge.pp.tpm(adata, lengths=np.array([1000, 4000]))
    >>> adata.layers["tpm"].tolist()
    [[500000.0, 500000.0], [1000000.0, 0.0]]
    """

    def total(reads: Any, bases: np.ndarray) -> np.ndarray:
        return np.asarray(reads @ (1 / bases), dtype=np.float64).ravel()

    return _divided(adata, lengths, layer, total=total, numerator=1e6, key_added=key_added, copy=copy)


def rpkm(
    adata: AnnData,
    *,
    lengths: str | pd.Series | np.ndarray,
    layer: str | None = None,
    key_added: str = "rpkm",
    copy: bool = False,
) -> AnnData | None:
    r"""Compute reads per kilobase and million reads from reads and gene lengths :cite:p:`Mortazavi08`.

    :math:`\mathrm{RPKM}_{ng} = 10^9\, \frac{x_{ng}}{l_g \sum_h x_{nh}}` (FPKM, if fragments were counted). The sum
    differs from cell to cell, so that the same value is another share of the transcripts in another cell: to compare
    cells use :func:`tpm` :cite:p:`Wagner12`.

    Parameters
    ----------
    adata
        Annotated data matrix with reads.
    lengths
        Length of each gene in bases: a column of ``adata.var``, a Series indexed by gene name, or an array
        ``(n_vars,)``.
    layer
        Layer with the reads, ``X`` if ``None``.
    key_added
        Layer that is written.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.layers[key_added]`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        RPKM, sparse if the input is; cells without reads stay 0.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer, the column or the length of a gene does not exist.
    ValueError
        If reads are negative or not finite, or lengths are not positive and finite.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.array([[10, 40], [30, 0]], dtype="float32"))
    >>> scgauge.pp.rpkm(adata, lengths=np.array([1000, 4000]))
    >>> adata.layers["rpkm"].tolist()
    [[200000.0, 200000.0], [1000000.0, 0.0]]
    """

    def total(reads: Any, _: np.ndarray) -> np.ndarray:
        return row_sums(reads)

    return _divided(adata, lengths, layer, total=total, numerator=1e9, key_added=key_added, copy=copy)
