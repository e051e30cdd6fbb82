from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scgauge._core.checks import check_adata, check_binary, check_same_genes
from scgauge._core.keys import LOG_ODDS
from scgauge._core.matrix import get_matrix
from scgauge._core.store import store
from scgauge.metrics import compare_log_odds as compare_arrays
from scgauge.metrics import log_odds_ratio as from_array

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge.metrics._log_odds import Correction


def log_odds_ratio(
    adata: AnnData,
    *,
    layer: str | None = "binary",
    correction: Correction = "haldane",
    key_added: str = LOG_ODDS,
    copy: bool = False,
) -> AnnData | None:
    """Log odds ratios of all pairs of genes in binary data, with standard errors.

    The association that models of binary data should keep :cite:p:`Nussberger21`; the formulas are those of
    :func:`scgauge.metrics.log_odds_ratio`. To compare two data sets, binarise both with the thresholds of one::

        scgauge.pp.binarize(real, threshold="quantile")
        scgauge.pp.binarize(synthetic, threshold=real.var["binary_threshold"])

    Parameters
    ----------
    adata
        Annotated data matrix. The result has one number for each pair of genes: 8 bytes times the square of their
        number, twice.
    layer
        Layer with zeros and ones as :func:`scgauge.pp.binarize` writes it; ``adata.X`` if ``None``.
    correction
        ``"haldane"`` adds one half to every count of the 2 x 2 tables, ``"max"`` raises counts of 0 to one half,
        ``"none"`` leaves all, which gives infinite values or NaN where a count is 0.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varp[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Log odds ratios, ``(n_vars, n_vars)``; NaN on the diagonal.
    ``adata.varp[f"{key_added}_se"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Their standard errors.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call and ``"n_obs"``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If values are not 0 or 1, or ``correction`` is unknown.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_binary_blocks(5000, 12, rng=0)
    >>> scgauge.tl.log_odds_ratio(adata, layer=None)
    >>> adata.varp["log_odds"][:5, 5:10].mean().round(1)  # genes of different blocks
    np.float64(-0.6)
    """
    check_adata(adata)
    check_binary(adata, layer)
    result = from_array(get_matrix(adata, layer), correction=correction)
    params = {"layer": layer, "correction": correction, "n_obs": result.n}
    return store(
        adata,
        copy=copy,
        varp={key_added: result.log_odds, f"{key_added}_se": result.se},
        uns={key_added: {"params": params}},
    )


def compare_log_odds(
    real: AnnData,
    synthetic: AnnData,
    *,
    layer: str | None = "binary",
    correction: Literal["haldane", "max"] = "haldane",
) -> pd.DataFrame:
    """Compare the log odds ratios of all pairs of genes between real and synthetic binary data.

    See :func:`scgauge.metrics.compare_log_odds` for the test and its limits. Read the differences: the number of
    synthetic cells is up to you, and with it the p-values.

    Parameters
    ----------
    real
        Real cells.
    synthetic
        Synthetic cells with the same genes, binarised with the thresholds of the real ones.
    layer
        Layer of both with zeros and ones; ``X`` if ``None``.
    correction
        ``"haldane"`` or ``"max"``, as for :func:`log_odds_ratio`.

    Returns
    -------
    One row for each pair of genes, largest absolute difference first: ``gene_1``, ``gene_2``, ``real`` and
    ``synthetic`` (log odds ratios), ``difference`` (synthetic minus real), ``z``, ``pvalue``, ``q_bh``, ``q_by``.
    ``table.attrs`` has ``bias``, ``rmse``, ``pearson`` and ``slope`` over pairs.

    Raises
    ------
    TypeError
        If one of the two is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If the genes differ or are less than 2, values are not 0 or 1, or ``correction`` cannot be used.

    Examples
    --------
    >>> import scgauge
    >>> real = scgauge.datasets.simulate_binary_blocks(2000, 12, rng=0)
    >>> other = scgauge.datasets.simulate_binary_blocks(2000, 12, rng=1)
    >>> table = scgauge.tl.compare_log_odds(real, other, layer=None)
    >>> len(table), bool(table["q_bh"].min() < 0.01)
    (66, False)
    """
    check_adata(real, name="real")
    check_adata(synthetic, name="synthetic")
    synthetic = check_same_genes(real, synthetic)
    for adata in (real, synthetic):
        check_binary(adata, layer)
    result = compare_arrays(get_matrix(real, layer), get_matrix(synthetic, layer), correction=correction)
    table = result.pairs.rename(columns={"log_odds_x": "real", "log_odds_y": "synthetic"})
    for position, column in enumerate(("first", "second")):
        table.insert(position, f"gene_{position + 1}", real.var_names[table.pop(column)])
    table.attrs = {name: getattr(result, name) for name in ("bias", "rmse", "pearson", "slope")}
    return table
