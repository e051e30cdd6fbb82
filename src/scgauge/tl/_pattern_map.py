from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon

from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.tl._latent_gene_pairs import as_text, check_pairs, pairs_of, patterns_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class PatternMap:
    """How far patterns of genes are from one another in a latent space; returned by :func:`pattern_map`.

    Attributes
    ----------
    patterns
        One row for each pattern, the most frequent first: ``pattern`` (for example "0110"), ``share`` of the cells,
        their number ``n_cells``, and coordinates ``x`` and ``y``.
    distances
        Distances of patterns, ``(n_patterns, n_patterns)``, from 0 to 0.83 (the root of log 2).
    genes
        Genes in the order of the pattern.
    explained
        Share of the positive eigenvalues of the doubly centred squared distances that the two coordinates show.
    """

    patterns: pd.DataFrame
    distances: pd.DataFrame
    genes: list[str]
    explained: float

    __repr__ = short_repr


def pattern_map(
    model_or_pairs: Any,
    *,
    genes: Sequence[str] | pd.DataFrame,
    n_patterns: int = 10,
    quantile: float = 0.5,
    n_samples: int = 10_000,
    rng: RNG = None,
) -> PatternMap:
    r"""Lay out the most frequent patterns of a few genes by where they are in the latent space.

    Latent points are made binary (:math:`z_j > 0`), and every pattern has a distribution over the configurations of all
    latent dimensions. The distance of two patterns is the root of the Jensen-Shannon divergence of theirs (in nats), a
    metric; two coordinates come from classical scaling, in the manner of :cite:t:`Hess20`.

    Parameters
    ----------
    model_or_pairs
        Trained model, or cells with latent points in ``obsm["X_latent"]``, as in
        :func:`scgauge.tl.log_linear_patterns`.
    genes
        Genes of the pattern, or a result of :func:`scgauge.tl.log_linear_patterns`.
    n_patterns
        Most patterns to lay out, the most frequent.
    quantile
        Quantile of each gene above which it counts as expressed.
    n_samples
        Synthetic cells of a model.
    rng
        Seed or Generator of the synthetic cells.

    Returns
    -------
    Patterns with coordinates, and their distances. Draw them with :func:`scgauge.pl.pattern_map`.

    Raises
    ------
    TypeError
        If it is neither a readable model nor an AnnData.
    KeyError
        If cells have no ``obsm["X_latent"]`` or a gene is unknown.
    ValueError
        If a number is not positive, ``quantile`` not in [0, 1), or there are fewer than two patterns.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(1000, 2))
    >>> pairs = ad.AnnData((z + rng.normal(size=z.shape) > 0).astype("float32"), obsm={"X_latent": z})
    >>> found = scgauge.tl.pattern_map(pairs, genes=["0", "1"])
    >>> sorted(found.patterns["pattern"])
    ['00', '01', '10', '11']
    """
    check_pairs(quantile=quantile, n_patterns=n_patterns, n_samples=n_samples)
    pairs = pairs_of(model_or_pairs, quantile, n_samples, generator(rng))
    names = [str(gene) for gene in (genes["gene"] if isinstance(genes, pd.DataFrame) else genes)]
    missing = [name for name in names if name not in pairs.genes]
    if missing:
        message = f"The model or the cells have no gene {missing[0]!r}."
        raise KeyError(message)
    z, x = pairs.draw()
    text = as_text(patterns_of(x, [pairs.genes.index(name) for name in names]))
    counts = pd.Series(text).value_counts().head(n_patterns)
    if len(counts) < 2:
        message = f"The genes {names} make {len(counts)} pattern; at least two are needed for a map."
        raise ValueError(message)
    configuration = np.unique(z, axis=0, return_inverse=True)[1].ravel()
    table = pd.crosstab(text, configuration).loc[counts.index].to_numpy(dtype=float)
    shares = table / table.sum(1, keepdims=True)
    distances = np.array([[jensenshannon(one, other) for other in shares] for one in shares])
    distances = np.nan_to_num(distances)  # equal distributions may give the root of a tiny negative number
    np.fill_diagonal(distances, 0.0)
    points, explained = classical_scaling(distances)
    patterns = pd.DataFrame(
        {
            "pattern": counts.index.to_numpy(dtype=object),
            "share": counts.to_numpy() / len(text),
            "n_cells": counts.to_numpy(),
            "x": points[:, 0],
            "y": points[:, 1],
        }
    )
    labelled = pd.DataFrame(distances, index=list(counts.index), columns=list(counts.index))
    return PatternMap(patterns, labelled, names, explained)


def classical_scaling(distances: np.ndarray, n_components: int = 2) -> tuple[np.ndarray, float]:
    """Coordinates ``(n, n_components)`` whose distances are nearest to given ones, and the share that they show.

    Signs are such that the entry of largest absolute value is positive.
    """
    squared = distances**2
    centred = -0.5 * (squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean())
    values, vectors = np.linalg.eigh(centred)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    points = np.zeros((len(distances), n_components))
    kept = min(n_components, len(distances))
    points[:, :kept] = vectors[:, :kept] * np.sqrt(values[:kept])
    signs = np.sign(points[np.abs(points).argmax(0), np.arange(n_components)])
    total = values.sum()
    return points * np.where(signs < 0, -1.0, 1.0), float(values[:kept].sum() / total) if total > 0 else 1.0
