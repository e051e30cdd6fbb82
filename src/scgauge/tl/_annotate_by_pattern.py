from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obs_key, check_same_genes
from scgauge._core.keys import PATTERN
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.store import store
from scgauge._core.thresholds import above, quantile_thresholds
from scgauge.tl._latent_gene_pairs import as_text, check_pairs, patterns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def annotate_by_pattern(
    real: AnnData,
    synthetic: AnnData,
    *,
    genes: Sequence[str] | pd.DataFrame,
    labels_key: str,
    layer: str | None = None,
    quantile: float = 0.5,
    min_share: float = 0.0,
    key_added: str = PATTERN,
    copy: bool = False,
) -> AnnData | None:
    """Label synthetic cells by the real cells that have the same pattern of a few genes.

    Every gene is cut at its quantile in the real cells, in both sets. A synthetic cell takes the label that most real
    cells with its pattern have; a pattern that no real cell has, or whose first label is a tie, stays without label.

    Parameters
    ----------
    real
        Real cells with labels, best the training cells alone.
    synthetic
        Cells to label, with the same genes, for example of :func:`scgauge.tl.sample`.
    genes
        Genes of the pattern, or a result of :func:`scgauge.tl.log_linear_patterns`.
    labels_key
        Column of ``real.obs`` with the labels.
    layer
        Layer of ``real`` with the data that ``synthetic.X`` holds; ``real.X`` if ``None``.
    quantile
        Quantile of each gene above which it counts as expressed, as in :func:`scgauge.tl.log_linear_patterns`.
    min_share
        Share of the real cells with a pattern that its label must have at least.
    key_added
        Key under which results are stored.
    copy
        Whether to work on a copy of ``synthetic`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``synthetic.obs[key_added]`` : :class:`pandas.Series` (dtype ``category``)
        Pattern of each cell, for example "0110", in the order of `genes`.
    ``synthetic.obs[f"{key_added}_label"]`` : :class:`pandas.Series` (dtype ``category``)
        Its label; missing where there is none.
    ``synthetic.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"patterns"``: for each ``pattern`` its ``label`` (empty if it has none), the ``share`` of real
        cells with it that have this label, ``n_real`` and ``n_synthetic``; ``"unmatched"``, the share of synthetic
        cells without label.

    Raises
    ------
    TypeError
        If one of both is not an AnnData.
    KeyError
        If a gene, ``labels_key`` or the layer is unknown.
    ValueError
        If the sets differ in genes, no gene is given or an option is out of range.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> real = ad.AnnData(np.array([[0, 9], [1, 8], [7, 0], [9, 1]], dtype="float32"))
    >>> real.obs["type"] = ["T", "T", "B", "B"]
    >>> synthetic = ad.AnnData(np.array([[8, 0], [0, 9], [9, 9]], dtype="float32"))
    >>> scgauge.tl.annotate_by_pattern(real, synthetic, genes=["0", "1"], labels_key="type")
    >>> synthetic.obs["pattern_label"].isna().tolist(), synthetic.obs["pattern_label"].tolist()[:2]
    ([False, False, True], ['B', 'T'])
    """
    check_adata(real, name="real")
    check_adata(synthetic, name="synthetic")
    check_pairs(quantile=quantile)
    if not 0 <= min_share <= 1:
        message = f"min_share={min_share} is not from 0 to 1."
        raise ValueError(message)
    labels = check_obs_key(real, labels_key, argument="labels_key").astype(str).to_numpy()
    names = [str(gene) for gene in (genes["gene"] if isinstance(genes, pd.DataFrame) else genes)]
    same = check_same_genes(real, synthetic)
    columns = real.var_names.get_indexer(names)
    if not names or (columns < 0).any():
        wrong = [name for name, column in zip(names, columns, strict=True) if column < 0]
        message = f"The genes {wrong} are not in `real`." if names else "`genes` is empty; at least one is needed."
        raise (KeyError if names else ValueError)(message)
    matrix = as_rows(get_matrix(real, layer))[:, columns]
    thresholds = quantile_thresholds(matrix, quantile)
    every = np.arange(len(names))
    of_real = as_text(patterns_of(above(matrix, thresholds), every))
    of_synthetic = as_text(patterns_of(above(as_rows(get_matrix(same))[:, columns], thresholds), every))
    table = _dictionary(of_real, labels, of_synthetic, min_share)
    label = table.set_index("pattern")["label"].reindex(of_synthetic).replace("", np.nan).to_numpy()
    given = pd.Categorical(label, categories=sorted(set(labels)))
    params = {"genes": names, "labels_key": labels_key, "layer": layer, "quantile": quantile, "min_share": min_share}
    result = {"params": params, "patterns": table, "unmatched": float(given.isna().mean())}
    obs = {key_added: pd.Categorical(of_synthetic), f"{key_added}_label": given}
    return store(synthetic, copy=copy, obs=obs, uns={key_added: result})


def _dictionary(of_real: np.ndarray, labels: np.ndarray, of_synthetic: np.ndarray, min_share: float) -> pd.DataFrame:
    """Label of each pattern of either set."""
    counts = pd.crosstab(of_real, labels)
    patterns = sorted(set(of_real) | set(of_synthetic))
    n_synthetic = pd.Series(of_synthetic).value_counts()
    rows = []
    for pattern in patterns:
        label, share, n_real = "", np.nan, 0
        if pattern in counts.index:
            found = counts.loc[pattern]
            n_real = int(found.sum())
            share = float(found.max() / n_real)
            tied = (found == found.max()).sum() > 1
            label = "" if tied or share < min_share else str(found.idxmax())
        rows.append((pattern, label, share, n_real, int(n_synthetic.get(pattern, 0))))
    return pd.DataFrame(rows, columns=["pattern", "label", "share", "n_real", "n_synthetic"])
