from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.metrics._points import as_dense

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: The rotation is at its optimum when the criterion grows by less than this share.
_TOLERANCE = 1e-12
_MAX_ITERATIONS = 2000


def as_loadings(values: ArrayLike, *, name: str = "loadings") -> np.ndarray:
    """Return loadings as a float64 array ``(n_genes, n_factors)``; ValueError unless 2-D, non-empty and finite."""
    loadings = as_dense(values, name=name)
    if loadings.ndim != 2 or 0 in loadings.shape or not np.isfinite(loadings).all():
        message = f"`{name}` must be a finite (n_genes, n_factors) array; found the shape {loadings.shape}" + (
            " with values that are NaN or infinite." if loadings.ndim == 2 and loadings.size else "."
        )
        raise ValueError(message)
    return loadings


def varimax(loadings: ArrayLike) -> np.ndarray:
    r"""Find the rotation of factors after which each gene loads on as few of them as possible.

    Maximises :math:`\sum_k \operatorname{Var}_g (\lambda_{gk}^2)` of :math:`\Lambda = W R` over orthogonal :math:`R`
    :cite:p:`Kaiser58`, on raw loadings (without Kaiser's normalisation of genes), from the unrotated ones.

    Parameters
    ----------
    loadings
        Loadings :math:`W`, ``(n_genes, n_factors)``.

    Returns
    -------
    Rotation :math:`R`, ``(n_factors, n_factors)``: ``loadings @ R`` are the rotated loadings.

    Raises
    ------
    ValueError
        If the loadings are not a finite two-dimensional array.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> simple = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> np.abs((simple @ turn) @ scgauge.metrics.varimax(simple @ turn)).round(3).max(axis=0).tolist()
    [2.0, 3.0]
    """
    weights = as_loadings(loadings)
    n_genes, n_factors = weights.shape
    rotation = np.eye(n_factors)
    before = 0.0
    for _ in range(_MAX_ITERATIONS):
        rotated = weights @ rotation
        gradient = weights.T @ (rotated**3 - rotated * (rotated**2).sum(0) / n_genes)
        left, singular, right = np.linalg.svd(gradient)
        rotation = left @ right
        if singular.sum() <= before * (1 + _TOLERANCE):
            break
        before = singular.sum()
    return rotation
