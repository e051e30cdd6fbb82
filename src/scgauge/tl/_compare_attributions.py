from __future__ import annotations

from itertools import combinations, combinations_with_replacement, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import COMPARE_ATTRIBUTIONS
from scgauge._core.store import store
from scgauge.metrics import match_loadings
from scgauge.tl._gene_scores import gene_scores, importance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

#: Genes of each method in the table of ranks if none are named.
_LISTED = 10


def compare_attributions(
    adata: AnnData,
    *,
    sources: Mapping[str, str | pd.DataFrame | Sequence[str | pd.DataFrame]],
    n_top: Sequence[int] = (10, 25, 50, 100),
    genes: Sequence[str] | None = None,
    key_added: str = COMPARE_ATTRIBUTIONS,
    copy: bool = False,
) -> AnnData | None:
    """Compare what several methods, and several runs of a method, say about genes.

    Explanations that another seed changes, or that agree as well with those of a network with shuffled weights
    :cite:p:`Adebayo18`, explain nothing. Scores are compared by absolute value; the importance of a gene is its largest
    score over latent dimensions or groups, each in units of its own largest.

    Parameters
    ----------
    adata
        Annotated data matrix with results of the methods.
    sources
        What to compare, ``{name: source}``: a key in ``adata.varm`` (:func:`scgauge.tl.attribute`,
        :func:`scgauge.tl.loadings`); a key in ``adata.uns`` of marker genes (:func:`scanpy.tl.rank_genes_groups`); a
        result of :func:`scgauge.tl.log_linear_patterns`; or a table of scores, genes x columns. A list of these are
        runs of one method, for example with several seeds.
    n_top
        Numbers of genes whose overlap is compared.
    genes
        Genes to rank by each method, for example known markers; the first ten of each method if ``None``.
    key_added
        Key under which the tables are stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following field:

    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"pairs"``: for every two methods (``first``, ``second``; the same twice for runs of one method)
        a ``statistic``: ``"rank_correlation"`` of importances over the genes that both have, if these are half of all
        at least; ``"matched_correlation"``, then, too, the mean rank correlation of columns paired one to one;
        ``"overlap"`` of the ``n_top`` genes; its mean over pairs of runs (``value``), their standard deviation (``sd``)
        and number (``n_pairs``), and what random genes give (``chance``);
        ``"ranks"``: ``method``, ``gene``, its ``rank`` by importance, and in the column where it is first
        (``best_rank``, ``column`` of the first run), medians over the ``n_runs`` that rank it;
        ``"shuffled"``: ``method``, ``run``, ``target`` and the rank correlation with shuffled weights (``spearman``),
        for results of :func:`scgauge.tl.attribute`.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or a source is neither a key nor a table.
    KeyError
        If a key or a gene is unknown, or a table has no gene of ``adata``.
    ValueError
        If there is only one run in all, ``n_top`` has a number below 1, gene names repeat, or scores are not finite.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scgauge
    >>> adata = ad.AnnData(np.ones((3, 4), dtype="float32"))
    >>> loadings = pd.DataFrame({"Z_0": [3.0, -2.0, 1.0, 0.0]}, index=adata.var_names)
    >>> sources = {"LDVAE": loadings, "VAE": loadings.iloc[::-1].set_axis(adata.var_names)}
    >>> scgauge.tl.compare_attributions(adata, sources=sources, n_top=[2])
    >>> adata.uns["compare_attributions"]["pairs"][["statistic", "value"]].values.tolist()
    [['rank_correlation', -1.0], ['matched_correlation', 1.0], ['overlap', 0.0]]
    """
    check_adata(adata)
    check_unique_names(adata)
    bad = [number for number in n_top if number < 1]
    if bad:
        message = f"n_top={list(n_top)} was given; numbers from 1 are needed."
        raise ValueError(message)
    known = adata.var_names.astype(str)
    missing = [] if genes is None else [gene for gene in genes if gene not in known]
    if missing:
        message = f"`adata` has no gene {missing[0]!r}."
        raise KeyError(message)
    given = {name: list(source) if isinstance(source, list | tuple) else [source] for name, source in sources.items()}
    runs = {name: [gene_scores(adata, run, name=name) for run in some] for name, some in given.items()}
    if sum(map(len, runs.values())) < 2:
        message = f"`sources` holds {sum(map(len, runs.values()))} runs; at least two are needed to compare."
        raise ValueError(message)
    result = {
        "params": {
            "methods": list(runs),
            "n_runs": [len(some) for some in runs.values()],
            "n_top": list(n_top),
            "genes": None if genes is None else list(genes),
        },
        "pairs": _pairs(runs, list(n_top)),
        "ranks": _ranks(runs, genes),
        "shuffled": _shuffled(adata, given),
    }
    return store(adata, copy=copy, uns={key_added: result})


def _compare(one: pd.DataFrame, other: pd.DataFrame, n_top: list[int]) -> dict[tuple[str, int], float]:
    """Statistics of two runs; those that cannot be computed are missing."""
    values = pd.DataFrame({"one": importance(one), "other": importance(other)})
    found: dict[tuple[str, int], float] = {}
    both = values.dropna()
    enough = max(3, len(values) / 2)
    if len(both) >= enough and (both.nunique() > 1).all():
        found["rank_correlation", 0] = float(stats.spearmanr(both["one"], both["other"]).statistic)
    full = one.notna().all(axis=1) & other.notna().all(axis=1)
    if full.sum() >= enough:
        matched = match_loadings(one[full].rank().to_numpy(), other[full].rank().to_numpy()).correlation
        found["matched_correlation", 0] = float(np.nanmean(np.abs(matched)))
    for number in n_top:
        if (values.notna().sum() >= number).all():
            top = [set(values[name].nlargest(number).index) for name in values]
            found["overlap", number] = len(top[0] & top[1]) / number
    return found


def _pairs(runs: dict[str, list[pd.DataFrame]], n_top: list[int]) -> pd.DataFrame:
    """Compare every two methods, and the runs of each."""
    rows = []
    n_genes = len(next(iter(runs.values()))[0])
    for first, second in combinations_with_replacement(runs, 2):
        pairs = combinations(runs[first], 2) if first == second else product(runs[first], runs[second])
        found = pd.DataFrame([_compare(one, other, n_top) for one, other in pairs])
        for statistic, number in found.columns:
            values = found[statistic, number].dropna()
            chance = number / n_genes if statistic == "overlap" else 0.0 if statistic == "rank_correlation" else np.nan
            spread = float(values.std()) if len(values) > 1 else np.nan
            rows.append((first, second, statistic, int(number), float(values.mean()), spread, len(values), chance))
    columns = ["first", "second", "statistic", "n_top", "value", "sd", "n_pairs", "chance"]
    return pd.DataFrame(rows, columns=columns)


def _ranks(runs: dict[str, list[pd.DataFrame]], genes: Sequence[str] | None) -> pd.DataFrame:
    """Ranks of genes by each method."""
    overall = {
        name: pd.concat([importance(run).rank(ascending=False, method="first") for run in some], axis=1).median(axis=1)
        for name, some in runs.items()
    }
    chosen = list(dict.fromkeys(gene for ranks in overall.values() for gene in ranks.nsmallest(_LISTED).index))
    rows: list[dict[str, Any]] = []
    for name, some in runs.items():
        inside = [run.rank(ascending=False, method="first") for run in some]
        for gene in chosen if genes is None else genes:
            best = np.array([run.loc[gene].min() for run in inside])
            best = best[np.isfinite(best)]
            middle = float(np.median(best)) if len(best) else np.nan
            ranked = inside[0].loc[gene]
            column = "" if ranked.isna().all() else str(ranked.idxmin())
            row = {"method": name, "gene": gene, "rank": overall[name][gene], "best_rank": middle}
            rows.append(row | {"column": column, "n_runs": len(best)})
    return pd.DataFrame(rows)


def _shuffled(adata: AnnData, given: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Collect what :func:`scgauge.tl.attribute` has found with shuffled weights."""
    tables = []
    for name, some in given.items():
        for run, key in enumerate(some):
            notes = adata.uns.get(key) if isinstance(key, str) else None
            if isinstance(notes, dict) and "randomised" in notes:
                table = notes["randomised"][["target", "spearman"]].copy()
                table.insert(0, "run", run)
                table.insert(0, "method", name)
                tables.append(table)
    if not tables:
        return pd.DataFrame({"method": [], "run": [], "target": [], "spearman": []})
    return pd.concat(tables, ignore_index=True)
