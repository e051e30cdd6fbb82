from __future__ import annotations

import numpy as np
from scipy import sparse

from scgauge._core.matrix import Matrix, as_rows, iter_rows, row_sums, stored_values
from scgauge._core.rng import RNG, generator
from scgauge.metrics._points import LARGEST_TOTAL, Points, as_points


def independent_copy(x: Points, *, rng: RNG = None) -> Matrix:
    """Permute every variable over the observations on its own.

    The copy has the marginal distribution of every gene and nothing else: no dependence of genes, no cell types, no
    library sizes. It is what a perfect model of single genes would draw, and the yardstick for everything joint.

    Parameters
    ----------
    x
        Matrix, ``(n_obs, n_vars)``.
    rng
        Seed or Generator.

    Returns
    -------
    Matrix of the same shape and dtype: csr_matrix if `x` is sparse, else an array.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty or not finite.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.array([[1, 10], [2, 20], [3, 30]])
    >>> copy = scgauge.metrics.independent_copy(x, rng=0)
    >>> np.sort(copy, axis=0).tolist()
    [[1, 10], [2, 20], [3, 30]]
    """
    points, rng = as_points(x), generator(rng)
    # One way for every kind of matrix, so that all get the same draws.
    columns = sparse.csc_matrix(as_rows(points))
    columns.eliminate_zeros()
    n_obs = columns.shape[0]
    rows = np.empty_like(columns.indices)
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        # Which entry goes to which row is random, too: the places are drawn in random order.
        rows[start:stop] = rng.choice(n_obs, stop - start, replace=False)
    copy = sparse.csc_matrix((columns.data, rows, columns.indptr), shape=columns.shape)
    return sparse.csr_matrix(copy) if sparse.issparse(points) else copy.toarray().astype(points.dtype, copy=False)


def poisson_copy(x: Points, *, rng: RNG = None) -> Matrix:
    r"""Draw Poisson counts with the library size of each cell and the pooled profile of all.

    :math:`\tilde x_{ig} \sim \mathrm{Poisson}(\ell_i \, \sum_j x_{jg} / \sum_j \ell_j)` with :math:`\ell_i` the library
    size. The copy has the means of genes and the library sizes of cells, but no overdispersion and no cell types: the
    simplest model of counts, and the yardstick for variances, zeros and detected genes.

    Parameters
    ----------
    x
        Counts, ``(n_obs, n_vars)``.
    rng
        Seed or Generator.

    Returns
    -------
    Counts of the same shape, csr_matrix of dtype ``float32``.

    Raises
    ------
    TypeError
        If `x` is an AnnData, a sparse tensor or not numeric.
    ValueError
        If `x` is not 2-D, is empty or not finite, has a negative value or no count at all.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> copy = scgauge.metrics.poisson_copy(np.full((1000, 2), [90, 10]), rng=0)
    >>> copy.toarray().mean(axis=0).round(-1).tolist()
    [90.0, 10.0]
    """
    points, rng = as_points(x), generator(rng)
    if stored_values(points).min(initial=0) < 0:
        message = "`x` has negative values; counts are needed."
        raise ValueError(message)
    library = row_sums(points)
    if library.sum() == 0:
        message = "`x` has no count at all."
        raise ValueError(message)
    if library.sum() > LARGEST_TOTAL:
        message = f"`x` has {library.sum():g} counts in all; up to 2^53 are exact."
        raise ValueError(message)
    profile = np.asarray(points.sum(axis=0, dtype=np.float64)).ravel() / library.sum()
    blocks = [
        sparse.csr_matrix(rng.poisson(library[rows, None] * profile), dtype=np.float32) for rows, _ in iter_rows(points)
    ]
    return sparse.vstack(blocks, format="csr")
