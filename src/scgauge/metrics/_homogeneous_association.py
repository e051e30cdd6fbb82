from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import xlogy

from scgauge.metrics._conditional_association import ConditionalAssociation
from scgauge.metrics._points import as_binary, as_dense_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Entries of tables fitted at once; largest relative error of a margin, and rounds after which fitting ends.
_ENTRIES_AT_ONCE, _PRECISION, _MOST_ROUNDS = 2**20, 1e-9, 2000
#: Counts by which margins may be off where fitted counts go to 0, which they do slowly.
_SLACK = 0.01
_MOST_GIVEN = 12


def homogeneous_association(x: Any, z: ArrayLike, *, given: ArrayLike | None = None) -> ConditionalAssociation:
    r"""Test every pair of binary variables for an association that is the same whatever the other variables are.

    Two log-linear models of :math:`(z, S_1, \ldots, S_k, x)` are compared, with all interactions of two variables, and
    with all but that of :math:`z` and :math:`x`: one degree of freedom. Neither has a closed form; both are fitted by
    iterative proportional fitting until margins agree to :math:`10^{-9}`; to 0.01 counts where empty cells make fitted
    counts go to 0, which takes for ever. An association whose direction depends on
    :math:`S` is seen by :func:`conditional_association`, not here.

    Parameters
    ----------
    x
        Binary variables, ``(n, n_x)``, dense or sparse.
    z
        Binary variables, ``(n, n_z)``.
    given
        Binary variables that are given, ``(n, k)`` for k up to 12; none if ``None``.

    Returns
    -------
    Statistics, degrees of freedom (0 where a variable is constant) and the statistic divided by ``2 * n`` (``cmi``) of
    every pair.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not 0 and 1, or too many variables are given.
    RuntimeError
        If fitting does not come that far in 2000 rounds.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> z = np.repeat([0, 1], 4)[:, None]
    >>> x = np.array([0, 0, 0, 1, 0, 1, 1, 1])[:, None]
    >>> scgauge.metrics.homogeneous_association(x, z, given=np.tile([0, 1], 4)[:, None]).df.tolist()
    [[1]]
    """
    matrix, latent = as_binary(x, name="x"), as_dense_binary(z, name="z")
    pattern = np.empty((len(latent), 0), dtype=np.int64) if given is None else as_dense_binary(given, name="given")
    if not matrix.shape[0] == len(latent) == len(pattern):
        message = f"`x` has the shape {matrix.shape}, `z` {latent.shape} and `given` {pattern.shape}; rows must agree."
        raise ValueError(message)
    if pattern.shape[1] > _MOST_GIVEN:
        message = f"{pattern.shape[1]} variables are given; tables are fitted for up to {_MOST_GIVEN}."
        raise ValueError(message)
    n, n_given = pattern.shape
    n_cells = 2 ** (n_given + 1)
    strata = pattern @ (1 << np.arange(n_given)[::-1])
    g2 = np.zeros((matrix.shape[1], latent.shape[1]))
    df = np.zeros(g2.shape, dtype=np.int64)
    size = max(1, _ENTRIES_AT_ONCE // (2 * n_cells))
    for column in range(latent.shape[1]):
        codes = latent[:, column] * 2**n_given + strata
        rows = sparse.csr_matrix((np.ones(n), (codes, np.arange(n))), (n_cells, n))
        margin = np.bincount(codes, minlength=n_cells).astype(float)
        for start in range(0, matrix.shape[1], size):
            some = slice(start, start + size)
            ones = rows @ matrix[:, some]
            ones = ones.toarray() if sparse.issparse(ones) else ones
            tables = np.stack([margin[:, None] - ones, ones], axis=1).reshape(*[2] * (n_given + 2), -1)
            g2[some, column] = _deviance(tables, with_pair=False) - _deviance(tables, with_pair=True)
            df[some, column] = (ones.sum(0) > 0) & (ones.sum(0) < n)
        df[:, column] *= 0 < latent[:, column].sum() < n
    return ConditionalAssociation(np.maximum(g2, 0) * (df > 0), df, n)


def _deviance(tables: np.ndarray, *, with_pair: bool) -> np.ndarray:
    """Deviance of tables ``(2, ..., 2, n_tables)`` from the model of all pairs, the first and last apart or not."""
    n_variables = tables.ndim - 1
    margins: list[tuple[int, ...]] = list(combinations(range(n_variables), 2))
    if not with_pair:
        margins.remove((0, n_variables - 1))
    if n_variables == 2 and not with_pair:
        margins = [(0,), (1,)]
    sums = [tuple(axis for axis in range(n_variables) if axis not in kept) for kept in margins]
    observed = [tables.sum(axes, keepdims=True) for axes in sums]
    fit = np.ones_like(tables)
    precision = _PRECISION * tables.sum(tuple(range(n_variables))).max()
    worst = np.inf
    for _ in range(_MOST_ROUNDS):
        worst = 0.0
        for axes, target in zip(sums, observed, strict=True):
            found = fit.sum(axes, keepdims=True)
            worst = max(worst, float(np.abs(found - target).max()))
            fit *= np.divide(target, found, out=np.zeros_like(target), where=found > 0)
        if worst <= precision:
            break
    if worst <= max(precision, _SLACK):
        ratio = xlogy(tables, tables) - xlogy(tables, np.where(fit > 0, fit, 1.0))
        return 2 * ratio.sum(tuple(range(n_variables)))
    message = f"Proportional fitting has not converged after {_MOST_ROUNDS} rounds; the tables are too sparse."
    raise RuntimeError(message)
