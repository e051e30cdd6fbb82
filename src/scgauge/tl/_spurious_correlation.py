from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_finite, check_obs_key
from scgauge._core.keys import SPURIOUS_CORRELATION
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.normalise import log_normalise, median_library
from scgauge._core.store import store
from scgauge.metrics import spurious_correlation as from_arrays
from scgauge.tl._cell_space import kind_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.rng import RNG


def spurious_correlation(
    adata: AnnData,
    *,
    target: str,
    layer: str | None = None,
    n_permutations: int = 199,
    rng: RNG = None,
    key_added: str = SPURIOUS_CORRELATION,
    copy: bool = False,
) -> AnnData | None:
    r"""Compare the correlations of genes with a property of cells to the largest ones that chance gives.

    Fat data, with more genes than cells, always have genes that correlate with anything. How large the largest
    correlation gets by chance is computed by permuting the property, which keeps the dependence of the genes
    :cite:p:`Westfall93`, and set beside :math:`\sqrt{1 - p^{-2/(n-2)}}` for independent genes: see
    :func:`scgauge.metrics.spurious_correlation`. Draw it with :func:`scgauge.pl.spurious_correlation`.

    Parameters
    ----------
    adata
        Annotated data matrix. Counts are log-normalised, anything else is taken as it is.
    target
        Column of ``adata.obs``: numbers, or one of two labels.
    layer
        Layer to read, ``X`` if ``None``.
    n_permutations
        Number of permutations.
    rng
        Seed or Generator.
    key_added
        Key of the results.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.var[f"{key_added}_r"]`` : :class:`pandas.Series` (dtype ``float64``)
        Correlation of each gene; NaN for genes that do not vary.
    ``adata.var[f"{key_added}_pvalue"]`` : :class:`pandas.Series` (dtype ``float64``)
        P-value of each gene, adjusted for the search over all of them (largest of each permutation).
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call, ``"n_obs"`` and ``"n_vars"`` (genes that vary). ``"summary"``: data
        frame with the columns ``statistic`` and ``value``: ``"largest"`` seen; ``"permuted_median"``,
        ``"permuted_q95"`` of the largest by chance; ``"independent_median"`` for independent normal genes;
        ``"n_above"``, genes above the 95 % quantile. ``"null"``: largest absolute correlation of each permutation.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``target`` or ``layer`` does not exist.
    ValueError
        If the target has missing values, does not vary or is text with more than two labels; if values are not
        finite; if there are fewer than four cells or less than one permutation.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 400, rng=0)
    >>> adata.obs["coin"] = ["heads", "tails"] * 30
    >>> scgauge.tl.spurious_correlation(adata, target="coin", rng=0)
    >>> bool(adata.var["spurious_correlation_r"].abs().max() > 0.3)
    True
    >>> bool(adata.var["spurious_correlation_pvalue"].min() > 0.05)
    True
    """
    check_adata(adata)
    column = check_obs_key(adata, target, argument="target")
    values = _numbers(column, target)
    check_finite(adata, layer)
    matrix = as_rows(get_matrix(adata, layer))
    if kind_of(matrix) == "counts":
        matrix = log_normalise(matrix, median_library(matrix))
    result = from_arrays(matrix, values, n_permutations=n_permutations, rng=rng)
    bound = float(np.quantile(result.null, 0.95))
    summary = {
        "largest": result.largest,
        "permuted_median": float(np.median(result.null)),
        "permuted_q95": bound,
        "independent_median": result.expected,
        "n_above": float((np.abs(np.nan_to_num(result.r)) > bound).sum()),
    }
    params = {
        "target": target, "layer": layer, "n_permutations": n_permutations, "rng": rng,
        "n_obs": result.n, "n_vars": result.p,
    }  # fmt: skip
    table = pd.DataFrame({"statistic": list(summary), "value": list(summary.values())})
    return store(
        adata,
        copy=copy,
        var={f"{key_added}_r": result.r, f"{key_added}_pvalue": result.pvalue},
        uns={key_added: {"params": params, "summary": table, "null": result.null}},
    )


def _numbers(column: pd.Series, target: str) -> np.ndarray:
    """Numbers as they are, two labels as 0 and 1."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64)
    names = np.unique(column.astype(str))
    if len(names) != 2:
        message = f"adata.obs[{target!r}] has {len(names)} labels; numbers or two labels are needed."
        raise ValueError(message)
    return (column.astype(str) == names[1]).to_numpy(dtype=np.float64)
