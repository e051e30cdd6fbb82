from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse, stats

from scgauge._core.checks import check_adata, check_finite, check_obs_key, check_unique_names
from scgauge._core.keys import SIGNATURE_ACTIVITY, SIGNATURES
from scgauge._core.matrix import get_matrix, iter_rows
from scgauge._core.store import store
from scgauge.metrics import pareto_fronts
from scgauge.tl._signatures import membership

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

#: Largest -log10 p-value, where doubles end.
_SMALLEST_P = 1e-300


def signature_activity(  # noqa: PLR0913 - two of them are not counted: key_added, copy
    adata: AnnData,
    *,
    groupby: str,
    groups: Sequence[str] | None = None,
    key: str = SIGNATURES,
    layer: str | None = None,
    scale: bool = True,
    active: Literal["pareto", "pvalue", "diff"] = "pareto",
    n_fronts: int = 5,
    n_top: int = 10,
    marginal: bool = False,
    key_added: str = SIGNATURE_ACTIVITY,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure signatures in cells, and test which of them differ between groups of cells.

    The activity of signature :math:`s` of node :math:`j` in a cell with expression :math:`x` is

    .. math::

        a_s = \Bigl| \frac{1}{|s|} \sum_{g \in s} w_{gj} \, x_g \Bigr|

    :cite:p:`Tan17`. Groups are compared by Welch's t test, adjusted over signatures by Benjamini and Hochberg; the
    signatures that differ most and most surely lie on the first Pareto fronts of absolute difference and
    :math:`-\log_{10}` adjusted p. Cells of one donor are no independent samples: p-values rank signatures, they do
    not prove a difference between donors. Draw the result with :func:`scgauge.pl.signature_activity`.

    Parameters
    ----------
    adata
        Log-normalised cells on which :func:`scgauge.tl.signatures` was run.
    groupby
        Column of ``adata.obs`` with the groups.
    groups
        Two groups to compare, the first minus the second; each group against all other cells if ``None``.
    key
        Key of the signatures.
    layer
        Layer to read, ``adata.X`` if ``None``.
    scale
        Whether to scale each gene to the range 0 to 1 over all cells, as ADAGE does; else genes of high expression
        weigh most.
    active
        Which signatures count as active in a comparison: those on the first `n_fronts` Pareto fronts
        (``"pareto"``), with an adjusted p-value below 0.05 (``"pvalue"``), or the `n_top` largest absolute differences
        (``"diff"``).
    n_fronts, n_top
        See `active`.
    marginal
        Whether to test the activity of each active signature again without the genes of each other active one:
        signatures whose difference goes away add nothing to the other.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Activities, ``(n_obs, n_signatures)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"signatures"``: their names, in the order of the activities; ``"tests"``: data frame with the
        columns ``group``, ``reference``, ``signature``, ``n_genes``, ``difference`` (of mean activities),
        ``statistic``, ``pvalue``, ``padj``, ``front`` (from 1) and ``active``; with ``marginal=True``, ``"marginal"``:
        data frame with the columns ``group``, ``signature``, ``given`` (the signature without whose genes),
        ``n_genes`` left, ``difference``, ``pvalue`` and ``padj`` (over the pairs of a group; NaN if no gene is left).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``groupby``, the layer or the result of :func:`scgauge.tl.signatures` does not exist.
    ValueError
        If the data are not finite, a group is unknown or has fewer than two cells, or an argument is out of range.

    Examples
    --------
    >>> import scanpy as sc, scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 60, rng=0)
    >>> sc.pp.log1p(adata)
    >>> adata.obs["half"] = ["first"] * 50 + ["second"] * 50
    >>> scgauge.model.Autoencoder.setup_anndata(adata)
    >>> model = scgauge.model.Autoencoder(adata, n_latent=3, n_layers=0)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> scgauge.tl.signatures(adata, model, cutoff=1.5)
    >>> scgauge.tl.signature_activity(adata, groupby="half", groups=["first", "second"])
    >>> bool((adata.uns["signature_activity"]["tests"]["front"] == 1).any())
    True
    """
    check_adata(adata)
    check_unique_names(adata)
    _check_arguments(active, n_fronts, n_top)
    table, weights = _read(adata, key)
    labels = check_obs_key(adata, groupby, argument="groupby").astype(str).to_numpy()
    comparisons = _comparisons(labels, groups, groupby)
    check_finite(adata, layer)
    genes = pd.Index(adata.var_names.astype(str))
    inside = membership(table, genes)
    node = table.drop_duplicates("signature")["node"].to_numpy()
    reader = _Reader(get_matrix(adata, layer), scale)
    columns = weights[node].to_numpy()
    activity = reader.activity(columns, inside.to_numpy())
    names = inside.columns.to_numpy(dtype=object)
    tests, tables = [], []
    for group, reference, one, other in comparisons:
        found = _test(activity, one, other).assign(signature=names, n_genes=inside.to_numpy().sum(0))
        padj = found["padj"].fillna(1.0).clip(lower=_SMALLEST_P)
        found["front"] = pareto_fronts(np.column_stack((found["difference"].abs(), -np.log10(padj))))
        found["active"] = _active(found, active, n_fronts, n_top)
        tests.append(found.assign(group=group, reference=reference))
        if marginal:
            chosen = np.flatnonzero(found["active"])
            tables.append(_marginal(reader, columns, inside, chosen, (one, other)).assign(group=group))
    order = ["group", "reference", "signature", "n_genes", "difference", "statistic", "pvalue", "padj", "front"]
    result = {
        "params": {
            "groupby": groupby, "groups": None if groups is None else list(groups), "key": key, "layer": layer,
            "scale": scale, "active": active, "n_fronts": n_fronts, "n_top": n_top, "marginal": marginal,
        },
        "signatures": names,
        "tests": pd.concat(tests, ignore_index=True)[[*order, "active"]],
    }  # fmt: skip
    if marginal:
        order = ["group", "signature", "given", "n_genes", "difference", "pvalue", "padj"]
        result["marginal"] = pd.concat(tables, ignore_index=True)[order]
    return store(adata, copy=copy, obsm={key_added: activity}, uns={key_added: result})


def _check_arguments(active: str, n_fronts: int, n_top: int) -> None:
    if active not in {"pareto", "pvalue", "diff"}:
        message = f"active={active!r} was given; choose 'pareto', 'pvalue' or 'diff'."
        raise ValueError(message)
    if n_fronts < 1 or n_top < 1:
        message = f"n_fronts={n_fronts} and n_top={n_top} were given; at least 1 is needed."
        raise ValueError(message)


def _read(adata: AnnData, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table of the genes of signatures, and weights of the nodes, genes x nodes."""
    found = adata.uns.get(key)
    if not isinstance(found, dict) or not {"genes", "nodes"} <= set(found) or key not in adata.varm:
        message = f"Did not find signatures in adata.uns[{key!r}]. Run: scgauge.tl.signatures(adata, model)"
        raise KeyError(message)
    nodes = [str(node) for node in found["nodes"]]
    return found["genes"], pd.DataFrame(np.nan_to_num(np.asarray(adata.varm[key])), columns=nodes)


def _comparisons(
    labels: np.ndarray, groups: Sequence[str] | None, groupby: str
) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Name, name of the reference, and the cells of both, for each comparison."""
    known = np.unique(labels)
    if groups is not None:
        pair = [str(group) for group in groups]
        unknown = [group for group in pair if group not in known]
        if len(pair) != 2 or pair[0] == pair[1] or unknown:
            message = f"groups={pair} was given; two different groups of {groupby!r} are needed: {known.tolist()}."
            raise ValueError(message)
        found = [(pair[0], pair[1], labels == pair[0], labels == pair[1])]
    else:
        found = [(group, "rest", labels == group, labels != group) for group in known]
    for group, reference, one, other in found:
        if min(one.sum(), other.sum()) < 2:
            message = (
                f"{group!r} and {reference!r} have {one.sum()} and {other.sum()} cells; at least 2 each are needed."
            )
            raise ValueError(message)
    return found


@dataclass
class _Reader:
    """Expression, scaled gene by gene without ever being made dense."""

    matrix: Any
    scale: bool

    def __post_init__(self) -> None:
        n_genes = self.matrix.shape[1]
        low, high = np.zeros(n_genes), np.ones(n_genes)
        if self.scale:
            low, high = np.full(n_genes, np.inf), np.full(n_genes, -np.inf)
            for _, block in iter_rows(self.matrix):
                # scipy finds no least value of booleans
                block = block.astype(np.float64)
                least, most = (_dense(getattr(block, name)(axis=0)) for name in ("min", "max"))
                low, high = np.minimum(low, least), np.maximum(high, most)
        self.low, self.range = low, np.where(high > low, high - low, 1.0)

    def activity(self, weights: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Activities, ``(n_cells, n_signatures)``; NaN for a signature without genes."""
        size = inside.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            per_gene = np.where(inside, weights, 0.0) / size / self.range[:, None]
        offset = self.low @ per_gene
        used = np.flatnonzero(inside.any(1))
        parts = [np.asarray(block[:, used] @ per_gene[used]) for _, block in iter_rows(self.matrix)]
        return np.abs(np.concatenate(parts) - offset)


def _dense(row: Any) -> np.ndarray:
    return (row.toarray() if sparse.issparse(row) else np.asarray(row)).ravel()


def _test(activity: np.ndarray, one: np.ndarray, other: np.ndarray) -> pd.DataFrame:
    """Welch's t test of each column; columns that do not vary differ in nothing or in everything."""
    with np.errstate(invalid="ignore", divide="ignore"):
        test = stats.ttest_ind(activity[one], activity[other], equal_var=False)
    difference = activity[one].mean(0) - activity[other].mean(0)
    pvalue = np.where(np.isnan(test.pvalue) & (difference == 0), 1.0, test.pvalue)
    padj = np.full(len(pvalue), np.nan)
    known = ~np.isnan(pvalue)
    if known.any():
        padj[known] = stats.false_discovery_control(pvalue[known])
    return pd.DataFrame({"difference": difference, "statistic": test.statistic, "pvalue": pvalue, "padj": padj})


def _active(found: pd.DataFrame, kind: str, n_fronts: int, n_top: int) -> np.ndarray:
    if kind == "pareto":
        return (found["front"] <= n_fronts).to_numpy()
    if kind == "pvalue":
        return (found["padj"] < 0.05).to_numpy()
    rank = found["difference"].abs().rank(ascending=False, method="first")
    return (rank <= n_top).to_numpy()


def _marginal(
    reader: _Reader, weights: np.ndarray, inside: pd.DataFrame, chosen: np.ndarray, cells: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    """Test each chosen signature without the genes of each other one."""
    names, members = inside.columns.to_numpy(dtype=object), inside.to_numpy()
    one, other = (part.ravel() for part in np.meshgrid(chosen, chosen, indexing="ij"))
    one, other = one[one != other], other[one != other]
    if len(one) == 0:
        return pd.DataFrame(columns=["signature", "given", "n_genes", "difference", "pvalue", "padj"])
    left = members[:, one] & ~members[:, other]
    found = _test(reader.activity(weights[:, one], left), *cells)
    return found.assign(signature=names[one], given=names[other], n_genes=left.sum(0))
