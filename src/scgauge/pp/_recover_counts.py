from __future__ import annotations

from typing import TYPE_CHECKING

from scgauge._core import counts
from scgauge._core.checks import check_adata
from scgauge._core.matrix import get_matrix
from scgauge._core.store import store

if TYPE_CHECKING:
    from anndata import AnnData


def recover_counts(
    adata: AnnData,
    *,
    layer: str | None = None,
    logged: bool | None = None,
    key_added: str = "counts",
    copy: bool = False,
) -> AnnData | None:
    r"""Recover the integer counts behind normalised expression.

    Data are often shared after :func:`scanpy.pp.normalize_total` and :func:`scanpy.pp.log1p` alone. Each cell is then
    its counts times one unknown number, which least squares finds: :math:`c_g = \operatorname{round}(y_g / s)` with
    :math:`s = \sum_g y_g c_g / \sum_g c_g^2`, starting where the smallest value of the cell is one count (two to four
    where one does not fit). Genes may have been left out after normalising; counts of the others are still exact.

    Parameters
    ----------
    adata
        Annotated data matrix.
    layer
        Layer with the normalised expression, ``adata.X`` if ``None``.
    logged
        Whether the values are log1p of the expression. If ``None``, what fits better in the first 1000 cells.
    key_added
        Layer that the counts are written to, and key of the note in ``uns``.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.layers[key_added]`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Integer counts, ``(n_obs, n_vars)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments, ``"logged"`` as it was found, and ``"residual"``, the largest distance of a
        rescaled entry from its count. Values below 0.2 are the rounding of stored numbers.

    Raises
    ------
    TypeError
        If `adata` is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If a value is negative, not finite or too large for a logarithm, or a cell is no multiple of integer counts.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> counts = np.array([[1.0, 3.0, 7.0], [2.0, 5.0, 1.0]])
    >>> adata = ad.AnnData(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4))
    >>> scgauge.pp.recover_counts(adata)
    >>> adata.layers["counts"].toarray().tolist()
    [[1.0, 3.0, 7.0], [2.0, 5.0, 1.0]]
    """
    check_adata(adata)
    recovered = counts.recover_counts(get_matrix(adata, layer), logged=logged)
    params = {"layer": layer, "logged": recovered.logged, "residual": recovered.residual}
    return store(
        adata,
        copy=copy,
        layers={key_added: recovered.counts},
        uns={key_added: {"params": params}},
    )
