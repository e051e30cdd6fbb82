from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import xlogy

from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import as_binary, as_dense, as_dense_binary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class ConditionalAssociation:
    """Association of binary variables within strata; returned by :func:`conditional_association`.

    Attributes
    ----------
    g2
        Likelihood-ratio statistic of each pair, ``(n_x, n_z)``.
    df
        Degrees of freedom: strata in which both variables take both values, ``(n_x, n_z)``.
    n
        Number of observations.
    """

    g2: np.ndarray
    df: np.ndarray
    n: int

    __repr__ = short_repr

    @property
    def cmi(self) -> np.ndarray:
        """Conditional mutual information in nats, ``(n_x, n_z)``."""
        return self.g2 / (2 * self.n)


def conditional_association(x: Any, z: ArrayLike, *, strata: ArrayLike | None = None) -> ConditionalAssociation:
    r"""Test every pair of binary variables for association within strata.

    The log-linear model without association, margins :math:`\{zS\}\{Sx\}`, is decomposable: its fit is
    :math:`n_{zS} n_{Sx} / n_S`, and :math:`G^2 = 2 n I(x; z \mid S)` in closed form, without iterative fitting. Empty
    cells add nothing.

    Parameters
    ----------
    x
        Binary variables, ``(n, n_x)``, dense or sparse.
    z
        Binary variables, ``(n, n_z)``.
    strata
        Stratum of each observation, ``(n,)`` integers from 0; one stratum if ``None``.

    Returns
    -------
    Statistics, degrees of freedom and conditional mutual information of every pair.

    Raises
    ------
    ValueError
        If shapes do not fit or values are not 0 and 1.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> z = np.repeat([0, 1], 4)[:, None]
    >>> x = np.array([0, 0, 0, 1, 0, 1, 1, 1])[:, None]
    >>> scgauge.metrics.conditional_association(x, z).g2.round(3).tolist()
    [[2.093]]
    """
    x, latent = as_binary(x, name="x"), as_dense_binary(z, name="z")
    codes = np.zeros(len(latent), dtype=np.int64) if strata is None else _as_codes(strata)
    if codes.ndim != 1 or not x.shape[0] == len(latent) == len(codes) > 0:
        message = (
            f"`x` has the shape {x.shape}, `z` {latent.shape} and `strata` {codes.shape}; they need the same rows."
        )
        raise ValueError(message)
    n, n_strata = len(latent), int(codes.max()) + 1
    g2, df = np.zeros((x.shape[1], latent.shape[1])), np.zeros((x.shape[1], latent.shape[1]), dtype=np.int64)
    for column in range(latent.shape[1]):
        cells = sparse.csr_matrix((np.ones(n), (2 * codes + latent[:, column], np.arange(n))), (2 * n_strata, n))
        ones = cells @ x
        ones = (ones.toarray() if sparse.issparse(ones) else ones).reshape(n_strata, 2, -1)
        margin = np.asarray(cells.sum(1)).reshape(n_strata, 2)
        zeros = margin[:, :, None] - ones
        joint = _n_log_n(ones).sum((0, 1)) + _n_log_n(zeros).sum((0, 1))
        of_x = _n_log_n(ones.sum(1)).sum(0) + _n_log_n(zeros.sum(1)).sum(0)
        g2[:, column] = 2 * (joint - _n_log_n(margin).sum() - of_x + _n_log_n(margin.sum(1)).sum())
        both_z = np.asarray((margin > 0).all(1))[:, None]
        df[:, column] = (both_z & (ones.sum(1) > 0) & (zeros.sum(1) > 0)).sum(0)
    return ConditionalAssociation(np.maximum(g2, 0), df, n)


def _as_codes(strata: ArrayLike) -> np.ndarray:
    values = as_dense(strata, name="strata")
    if not (np.isfinite(values).all() and (values == np.rint(values)).all() and (values >= 0).all()):
        message = "`strata` must hold integers of at least 0."
        raise ValueError(message)
    if values.size and values.max() >= max(2**20, 2 * values.size):
        message = f"`strata` has the number {values.max():g}; number the strata from 0 without gaps."
        raise ValueError(message)
    return values.astype(np.int64)


def _n_log_n(counts: np.ndarray) -> np.ndarray:
    return xlogy(counts, counts)
