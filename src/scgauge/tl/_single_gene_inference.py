from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import false_discovery_control
from sklearn.model_selection import KFold
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata, check_finite, check_unique_names
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.normalise import log_normalise, median_library
from scgauge._core.rng import RNG, generator
from scgauge.metrics import rewire_graph
from scgauge.tl._cell_space import kind_of
from scgauge.tl._ridge_scores import RidgeFold, auc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

#: Share of cells in which the binarised gene must at least be 1, and be 0.
_RAREST = 0.05


def single_gene_inference(
    adata: AnnData,
    *,
    graph: pd.DataFrame | Mapping[str, Sequence[str]],
    n_genes: int | None = 200,
    n_random: int = 20,
    min_neighbors: int = 3,
    ridge: float = 1.0,
    n_folds: int = 3,
    layer: str | None = None,
    rng: RNG = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Ask whether a graph of genes knows more about cells than random graphs: predict each gene from its neighbours.

    Each gene, 1 where it lies above its median over cells, is predicted from the log-normalised expression of its
    neighbours in the graph, of all other genes of the graph, and of its neighbours in random graphs in which every gene
    keeps its number of neighbours (:func:`scgauge.metrics.rewire_graph`). If random neighbours do as well, the graph
    adds nothing as a prior for these cells :cite:p:`Bertin19`. The predictor is a ridge regression on standardised
    expression, scored by the area under the ROC curve of cells out of fold.

    Parameters
    ----------
    adata
        Cells. Counts are log-normalised, anything else is taken as it is.
    graph
        Edges in the first two columns of a table (for example ``tf`` and ``target`` of
        :func:`scgauge.datasets.dorothea`), without direction; or gene sets
        (:func:`scgauge.datasets.gene_sets`), in which all genes of a set are neighbours.
    n_genes
        Number of genes to predict, drawn at random; all that can be if ``None``.
    n_random
        Number of random graphs.
    min_neighbors
        Fewest neighbours of a gene to predict.
    ridge
        Penalty, in units of the variance of a standardised gene.
    n_folds
        Number of folds of cells.
    layer
        Layer to read, ``X`` if ``None``.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar if it takes longer than two seconds.

    Returns
    -------
    One row for each gene: ``gene``, ``n_neighbors``, ``share`` (of cells above the median), areas under the curve
    ``graph``, ``all_genes``, ``random`` (mean over random graphs) and ``random_sd``, ``difference`` (graph less
    random), ``pvalue`` (share of random graphs that do as well, at least ``1 / (n_random + 1)``) and ``padj``
    (Benjamini and Hochberg; with few random graphs and many genes it cannot get small).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``graph`` is neither a table with two columns nor gene sets.
    KeyError
        If the layer does not exist.
    ValueError
        If values are not finite, gene names repeat, an argument is out of range, there are fewer cells than folds, or
        no gene of the graph can be predicted.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 30, rng=0)
    >>> sets = {"first": adata.var_names[:10], "second": adata.var_names[8:30]}
    >>> table = scgauge.tl.single_gene_inference(adata, graph=sets, n_genes=5, n_random=4, rng=0)
    >>> len(table), bool(table["all_genes"].mean() > 0.5)
    (5, True)
    """
    check_adata(adata)
    check_unique_names(adata)
    check_finite(adata, layer)
    for name, value, least in (("n_random", n_random, 1), ("min_neighbors", min_neighbors, 1), ("n_folds", n_folds, 2)):
        if value < least:
            message = f"{name}={value} was given; at least {least} is needed."
            raise ValueError(message)
    if adata.n_obs < n_folds:
        message = f"Found {adata.n_obs} cells, which cannot be divided into n_folds={n_folds}. Pass more cells."
        raise ValueError(message)
    if not ridge > 0:
        message = f"ridge={ridge} was given; a positive number is needed."
        raise ValueError(message)
    edges, nodes = _edges_among(graph, adata.var_names)
    gene_rng, graph_rng, fold_rng = generator(rng).spawn(3)
    matrix = as_rows(get_matrix(adata, layer))
    values = log_normalise(matrix, median_library(matrix)) if kind_of(matrix) == "counts" else matrix
    values = values[:, nodes]
    targets, above = _choose(values, np.bincount(edges.ravel(), minlength=len(nodes)), min_neighbors, n_genes, gene_rng)
    graphs = [edges, *(rewire_graph(edges, rng=own) for own in graph_rng.spawn(n_random))]
    neighbors = [_neighbors(pairs, targets) for pairs in graphs]
    folds = KFold(n_folds, shuffle=True, random_state=int(fold_rng.integers(2**31)))
    areas = np.zeros((len(targets), len(graphs) + 1))
    bar = tqdm(total=n_folds, desc="Predicting genes", unit="fold", delay=2, disable=not progress)
    for train, test in folds.split(np.arange(adata.n_obs)):
        fold = RidgeFold(values[train], values[test], above[train], ridge)
        everything = fold.from_all_others(targets)
        for row in range(len(targets)):
            seen = above[test, row]
            areas[row, -1] += auc(seen, everything[:, row]) / n_folds
            for column, sets in enumerate(neighbors):
                areas[row, column] += auc(seen, fold.from_some(sets[row], row)) / n_folds
        bar.update()
    bar.close()
    return _table(adata.var_names[nodes[targets]], neighbors[0], above, areas)


def _edges_among(graph: Any, names: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Edges between genes of the data as pairs of nodes, without loops and doubles, and the gene of each node."""
    if isinstance(graph, pd.DataFrame) and graph.shape[1] >= 2:
        pairs = np.column_stack([names.get_indexer(graph.iloc[:, column].astype(str)) for column in (0, 1)])
    elif hasattr(graph, "items") and not isinstance(graph, pd.DataFrame):
        parts = [np.zeros((0, 2), dtype=int)]
        for name, members in graph.items():
            if isinstance(members, str) or not isinstance(members, Iterable):
                message = f"The gene set {name!r} is {type(members).__name__}; a list of names of genes is needed."
                raise TypeError(message)
            genes = np.unique(names.get_indexer(pd.Index(map(str, members))))
            genes = genes[genes >= 0]
            first, second = np.triu_indices(len(genes), 1)
            parts.append(np.column_stack([genes[first], genes[second]]))
        pairs = np.concatenate(parts)
    else:
        message = f"`graph` is {type(graph).__name__}; a table with two columns of genes, or gene sets, are needed."
        raise TypeError(message)
    pairs = np.sort(pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    pairs = np.unique(pairs, axis=0)
    if len(pairs) < 2:
        message = f"The graph has {len(pairs)} edges between genes of `adata`, with names like {names[0]!r}."
        raise ValueError(message)
    nodes, numbers = np.unique(pairs, return_inverse=True)
    return numbers.reshape(pairs.shape), nodes


def _choose(
    values: Any, degree: np.ndarray, min_neighbors: int, n_genes: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes to predict, and the cells in which each lies above its median, ``(n_cells, n_targets)``."""
    candidates = rng.permutation(np.flatnonzero(degree >= min_neighbors))
    columns = values.tocsc() if sparse.issparse(values) else values
    targets: list[int] = []
    above: list[np.ndarray] = []
    for node in candidates:
        if n_genes is not None and len(targets) == n_genes:
            break
        column = columns[:, [node]]
        expression = np.asarray(column.toarray() if sparse.issparse(column) else column, dtype=np.float64).ravel()
        high = expression > np.median(expression)
        if _RAREST <= high.mean() <= 1 - _RAREST:
            targets.append(int(node))
            above.append(high)
    if not targets:
        message = (
            f"No gene has {min_neighbors} neighbours in the graph and is above its median in {_RAREST:.0%} of the "
            "cells or more; lower min_neighbors or pass a larger graph."
        )
        raise ValueError(message)
    return np.array(targets), np.column_stack(above).astype(np.float64)


def _neighbors(edges: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """Neighbours of each target."""
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], targets, side="left")
    ends = np.searchsorted(both[:, 0], targets, side="right")
    return [both[start:end, 1] for start, end in zip(starts, ends, strict=True)]


def _table(genes: pd.Index, neighbors: list[np.ndarray], above: np.ndarray, areas: np.ndarray) -> pd.DataFrame:
    seen, random, everything = areas[:, 0], areas[:, 1:-1], areas[:, -1]
    pvalue = (1 + (random >= seen[:, None]).sum(axis=1)) / (1 + random.shape[1])
    return pd.DataFrame(
        {
            "gene": genes.astype(str),
            "n_neighbors": [len(some) for some in neighbors],
            "share": above.mean(axis=0),
            "graph": seen,
            "all_genes": everything,
            "random": random.mean(axis=1),
            "random_sd": random.std(axis=1, ddof=1) if random.shape[1] > 1 else np.nan,
            "difference": seen - random.mean(axis=1),
            "pvalue": pvalue,
            "padj": false_discovery_control(pvalue),
        }
    )
