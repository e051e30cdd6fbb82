from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core.matrix import Matrix, iter_rows, stored_values
from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import from_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class GeneMarginals:
    r"""One number per gene; see :func:`gene_marginals`.

    Attributes
    ----------
    mean
        Mean over cells, ``(n_vars,)``.
    variance
        Variance over cells with the divisor :math:`n - 1`; NaN for a single cell.
    zero_fraction
        Share of cells with the value 0.
    cv
        Coefficient of variation, standard deviation over mean; NaN where the mean is 0.
    fano
        Variance over mean, 1 for Poisson counts; NaN where the mean is 0.
    overdispersion
        Moment estimate :math:`\alpha` of the negative-binomial variance :math:`\mu + \alpha\mu^2`, that is
        :math:`(s^2 - \bar x) / \bar x^2`: 0 for Poisson counts, negative below; NaN where the mean is 0.
    """

    mean: np.ndarray
    variance: np.ndarray
    zero_fraction: np.ndarray
    cv: np.ndarray
    fano: np.ndarray
    overdispersion: np.ndarray

    __repr__ = short_repr

    def to_frame(self, names: Sequence[str] | pd.Index | None = None) -> pd.DataFrame:
        """Return a data frame with one row per gene and the attributes as columns.

        Parameters
        ----------
        names
            Gene names for the index; numbers from 0 if ``None``.

        Returns
        -------
        The table, ``(n_vars, 6)``.
        """
        return _to_frame(self, names)


@dataclass(frozen=True)
class CellMarginals:
    """One number per cell; see :func:`cell_marginals`.

    Attributes
    ----------
    library
        Sum over genes, ``(n_obs,)``.
    n_genes
        Number of genes with a value other than 0.
    zero_fraction
        Share of genes with the value 0.
    """

    library: np.ndarray
    n_genes: np.ndarray
    zero_fraction: np.ndarray

    __repr__ = short_repr

    def to_frame(self, names: Sequence[str] | pd.Index | None = None) -> pd.DataFrame:
        """Return a data frame with one row per cell and the attributes as columns.

        Parameters
        ----------
        names
            Cell names for the index; numbers from 0 if ``None``.

        Returns
        -------
        The table, ``(n_obs, 3)``.
        """
        return _to_frame(self, names)


def _to_frame(marginals: GeneMarginals | CellMarginals, names: Sequence[str] | pd.Index | None) -> pd.DataFrame:
    columns = {field.name: getattr(marginals, field.name) for field in fields(marginals)}
    return pd.DataFrame(columns, index=None if names is None else pd.Index(names))


def _checked_blocks(x: Any, block_size: int | None) -> Iterator[tuple[slice, Matrix]]:
    """Pass over the rows in blocks with each entry stored at most once, after checking that all are finite."""
    if isinstance(x, AnnData):
        message = "`x` is an AnnData; pass a matrix of it, for example adata.X."
        raise TypeError(message)
    x = from_torch(x)
    shape = getattr(x, "shape", ())
    if len(shape) != 2 or 0 in shape:
        message = f"`x` needs the shape (n_obs, n_vars), neither of them 0; found {tuple(shape)}."
        raise ValueError(message)
    for rows, block in iter_rows(x, block_size=block_size):
        if block.dtype.kind not in "buif":
            message = f"`x` has the dtype {block.dtype}; real numbers are needed."
            raise TypeError(message)
        n_bad = int((~np.isfinite(stored_values(block))).sum())
        if n_bad:
            message = (
                f"`x` has {n_bad} values that are NaN or infinite in rows {rows.start} to {rows.stop - 1}; "
                "remove or fill them first."
            )
            raise ValueError(message)
        if sparse.issparse(block) and not block.has_canonical_format:
            block = block.copy()  # a block of rows may share its data with the matrix
            block.sum_duplicates()
        yield rows, block


def _block_moments(block: Matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sum of squared deviations from it and number of non-zeros of each column, in float64."""
    n_rows, n_columns = block.shape
    if not sparse.issparse(block):
        values = np.asarray(block, dtype=np.float64)
        mean = values.mean(axis=0)
        return mean, ((values - mean) ** 2).sum(axis=0), np.count_nonzero(values, axis=0)
    genes, data = block.indices, block.data.astype(np.float64)
    mean = np.bincount(genes, weights=data, minlength=n_columns) / n_rows
    stored = np.bincount(genes, minlength=n_columns)
    squares = np.bincount(genes, weights=(data - mean[genes]) ** 2, minlength=n_columns)
    n_nonzero = np.bincount(genes[data != 0], minlength=n_columns)
    return mean, squares + (n_rows - stored) * mean**2, n_nonzero


def gene_marginals(x: Any, *, block_size: int | None = None) -> GeneMarginals:
    r"""Mean, variance, zero fraction and dispersion of every gene.

    One pass over blocks of rows in float64. The sums of squared deviations :math:`M` of two blocks with :math:`n_a` and
    :math:`n_b` rows are merged by :cite:p:`Chan83`

    .. math::

        M_{ab} = M_a + M_b + (\bar x_b - \bar x_a)^2 \frac{n_a n_b}{n_a + n_b},

    which, unlike :math:`\sum x^2 - n\bar x^2`, does not cancel for large means.

    Parameters
    ----------
    x
        Matrix ``(n_obs, n_vars)``: numpy array, torch tensor, any scipy sparse matrix or array, or a backed matrix
        of an AnnData, which is read block by block. Counts or other finite numbers.
    block_size
        Rows of a block; from the number of columns if ``None``. The result does not depend on it beyond rounding.

    Returns
    -------
    Frozen dataclass of arrays ``(n_vars,)``: ``mean``, ``variance``, ``zero_fraction``, ``cv``, ``fano``,
    ``overdispersion``.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If the matrix is not 2-D, is empty, or has values that are NaN or infinite.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> marginals = scgauge.metrics.gene_marginals(np.array([[0, 1], [2, 1], [4, 1]]))
    >>> marginals.mean.tolist(), marginals.variance.tolist()
    ([2.0, 1.0], [4.0, 0.0])
    >>> marginals.overdispersion.tolist()
    [0.5, -1.0]
    """
    n, mean, squares, n_nonzero = 0, np.zeros(1), np.zeros(1), np.zeros(1)
    for _, block in _checked_blocks(x, block_size):
        n_block = block.shape[0]
        block_mean, block_squares, block_nonzero = _block_moments(block)
        shift = block_mean - mean
        squares = squares + block_squares + shift**2 * (n * n_block / (n + n_block))
        mean = mean + shift * (n_block / (n + n_block))
        n_nonzero = n_nonzero + block_nonzero
        n += n_block
    variance = squares / (n - 1) if n > 1 else np.full_like(mean, np.nan)
    safe = np.where(mean == 0, np.nan, mean)
    return GeneMarginals(
        mean=mean,
        variance=variance,
        zero_fraction=1 - n_nonzero / n,
        cv=np.sqrt(variance) / safe,
        fano=variance / safe,
        overdispersion=(variance - safe) / safe**2,
    )


def cell_marginals(x: Any, *, block_size: int | None = None) -> CellMarginals:
    """Library size, number of detected genes and zero fraction of every cell.

    Parameters
    ----------
    x
        Matrix ``(n_obs, n_vars)`` as for :func:`gene_marginals`.
    block_size
        Rows of a block; from the number of columns if ``None``.

    Returns
    -------
    Frozen dataclass of arrays ``(n_obs,)``: ``library`` (float), ``n_genes`` (int), ``zero_fraction``.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If the matrix is not 2-D, is empty, or has values that are NaN or infinite.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> marginals = scgauge.metrics.cell_marginals(np.array([[0, 1, 5, 0], [2, 1, 0, 7]]))
    >>> marginals.library.tolist(), marginals.n_genes.tolist(), marginals.zero_fraction.tolist()
    ([6.0, 10.0], [2, 3], [0.5, 0.25])
    """
    library, n_genes = [], []
    for _, block in _checked_blocks(x, block_size):
        library.append(np.asarray(block.sum(axis=1, dtype=np.float64)).ravel())
        nonzero = block != 0
        n_genes.append(np.asarray(nonzero.sum(axis=1)).ravel())
    detected = np.concatenate(n_genes).astype(np.int64)
    return CellMarginals(library=np.concatenate(library), n_genes=detected, zero_fraction=1 - detected / x.shape[1])
