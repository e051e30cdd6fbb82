"""Scores of several embeddings against one reference space in a single pass over the query rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge.metrics._rank_blocks import Ranking, ranks, row_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class NeighborScores:
    """What the query rows say of one embedding.

    Attributes
    ----------
    recall, trustworthiness, continuity
        Of each row at each number of neighbours, ``(n_rows, n_k)``.
    log_radius
        Log of the mean squared distance to the k true and to the k embedded neighbours, ``(2, n_rows, n_k)``.
    same_label
        Share of embedded neighbours with the label of the row, ``(n_rows, n_k)``; ``None`` without labels.
    voted_label
        Whether most embedded neighbours have the label of the row, ``(n_rows, n_k)``; ``None`` without labels.
    auc
        Area under the row's own curve of R_NX over ln k, ``(n_rows,)``.
    shared
        Pairs that are within k of each other's rank in both spaces, summed over rows, for k = 1 to n - 1.
    """

    recall: np.ndarray
    trustworthiness: np.ndarray
    continuity: np.ndarray
    log_radius: np.ndarray
    same_label: np.ndarray | None
    voted_label: np.ndarray | None
    auc: np.ndarray
    shared: np.ndarray


def adjusted(recall: np.ndarray, k: np.ndarray, n: int) -> np.ndarray:
    """R_NX: recall rescaled so that 0 is chance and 1 is perfect."""
    return ((n - 1) * recall - k) / (n - 1 - k)


def _rank_excess(found: np.ndarray, n_neighbors: np.ndarray, n: int) -> np.ndarray:
    """Trustworthiness of each row from the true ranks of the neighbours it was given."""
    scores = [
        1 - 2 / (k * (2 * n - 3 * k - 1)) * np.maximum(found[:, :k] - k, 0).sum(axis=1, dtype=np.int64)
        for k in n_neighbors
    ]
    return np.stack(scores, axis=1)


def _area_weights(n: int) -> tuple[np.ndarray, float, float]:
    """Weights w, shift c and scale s with AUC of a row = (sum of w[rank shared from] - c) / s."""
    k = np.arange(1, n - 1, dtype=np.float64)
    tail = np.cumsum(((n - 1) / (k**2 * (n - 1 - k)))[::-1])[::-1]
    return np.r_[0.0, tail, 0.0], float((1 / (n - 1 - k)).sum()), float((1 / k).sum())


def _log_radius(distances: np.ndarray, n_neighbors: np.ndarray) -> np.ndarray:
    """Log of the mean squared distance to the k nearest, ``(n_rows, n_k)``; minus infinity among copies."""
    with np.errstate(divide="ignore"):
        return np.log(np.cumsum(distances**2, axis=1)[:, n_neighbors - 1] / n_neighbors)


def _votes(neighbors: np.ndarray, own: np.ndarray, n_neighbors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of neighbours with the own label, and whether it wins the vote; of equal numbers the nearest label wins."""
    share, won = np.empty((2, len(own), len(n_neighbors)))
    rows = np.arange(len(own))[:, None]
    for column, k in enumerate(n_neighbors):
        near = neighbors[:, :k]
        share[:, column] = (near == own[:, None]).mean(axis=1)
        votes = np.zeros((len(own), int(neighbors.max()) + 1))
        np.add.at(votes, (rows, near), 1.0)
        # the first label among those of the neighbours, from near to far, that has most votes
        winner = near[rows[:, 0], votes[rows, near].argmax(axis=1)]
        won[:, column] = winner == own
    return share, won


def neighbor_scores(
    reference: np.ndarray,
    embeddings: Sequence[np.ndarray],
    rows: np.ndarray,
    n_neighbors: np.ndarray,
    ties: np.ndarray,
    codes: np.ndarray | None = None,
) -> list[NeighborScores]:
    """Compare the neighbours of some rows in a reference space with those in embeddings.

    Parameters
    ----------
    reference
        Points in the reference space, ``(n, p)``.
    embeddings
        The same points in each embedding, ``(n, q)``.
    rows
        Points whose neighbours are compared, among all points.
    n_neighbors
        Numbers of neighbours k, each below n / 2.
    ties
        Permutation of the points: their order at equal distances, the same in all spaces.
    codes
        Label of each point as an integer, ``(n,)``.
    """
    n, shape = len(reference), (len(rows), len(n_neighbors))
    weights, shift, scale = _area_weights(n)
    reach = int(n_neighbors.max())
    position = np.arange(1, n, dtype=np.int32)
    rankings = [Ranking(points, ties) for points in (reference, *embeddings)]
    results = [
        NeighborScores(
            recall=np.empty(shape),
            trustworthiness=np.empty(shape),
            continuity=np.empty(shape),
            log_radius=np.empty((2, *shape)),
            same_label=None if codes is None else np.empty(shape),
            voted_label=None if codes is None else np.empty(shape),
            auc=np.empty(len(rows)),
            shared=np.zeros(n, dtype=np.int64),
        )
        for _ in embeddings
    ]
    for block in row_blocks(rows, n):
        queries = rows[block]
        true_order, true_distances = rankings[0].nearest(queries, reach)
        true_radius = _log_radius(true_distances, n_neighbors)
        true_ranks = ranks(true_order)
        for ranking, result in zip(rankings[1:], results, strict=True):
            order, distances = ranking.nearest(queries, reach)
            result.log_radius[:, block] = true_radius, _log_radius(distances, n_neighbors)
            found = np.take_along_axis(true_ranks, order, axis=1)
            lost = np.take_along_axis(ranks(order), true_order[:, :reach], axis=1)
            result.trustworthiness[block] = _rank_excess(found[:, :reach], n_neighbors, n)
            result.continuity[block] = _rank_excess(lost, n_neighbors, n)
            result.recall[block] = np.stack([(found[:, :k] <= k).mean(axis=1) for k in n_neighbors], axis=1)
            if result.same_label is not None and result.voted_label is not None and codes is not None:
                found_labels = _votes(codes[order[:, :reach]], codes[queries], n_neighbors)
                result.same_label[block], result.voted_label[block] = found_labels
            np.maximum(found, position, out=found)  # the smallest k at which both spaces hold the pair
            result.auc[block] = (weights[found].sum(axis=1) - shift) / scale
            result.shared += np.bincount(found.ravel(), minlength=n)
    for result in results:
        result.shared = np.cumsum(result.shared)[1:]
    return results


def density_correlation(log_radius: np.ndarray) -> tuple[float, float]:
    """Pearson correlation of log radii in two spaces, ``(2, n_rows)``, and its standard error; NaN if one is constant.

    Rows among copies, whose radius is 0, are left out.
    """
    finite = log_radius[:, np.isfinite(log_radius).all(axis=0)]
    if finite.shape[1] < 3 or (np.ptp(finite, axis=1) <= 1e-12 * np.abs(finite).max(axis=1)).any():
        return float("nan"), float("nan")
    correlation = float(np.corrcoef(finite)[0, 1])
    return correlation, (1 - correlation**2) / np.sqrt(finite.shape[1] - 1)


def draw_pairs(n: int, n_pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
    """Draw pairs of different points: every pair once if there are no more than asked for, else with replacement.

    Returns
    -------
    The first and the second points, and whether these are all pairs.
    """
    if n * (n - 1) // 2 <= n_pairs:
        first, second = np.triu_indices(n, 1)
        return first, second, True
    first = rng.integers(n, size=n_pairs)
    second = rng.integers(n - 1, size=n_pairs)
    return first, second + (second >= first), False


def pair_distances(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances of pairs, in pieces."""
    distances = np.empty(len(first))
    size = 2**16
    for start in range(0, len(first), size):
        piece = slice(start, start + size)
        distances[piece] = np.linalg.norm(points[first[piece]] - points[second[piece]], axis=1)
    return distances


def rank_correlation(true: np.ndarray, shown: np.ndarray) -> float:
    """Spearman correlation; NaN if one side is constant."""
    first, second = (pd.Series(part).rank().to_numpy() for part in (true, shown))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def scaled_stress(true: np.ndarray, shown: np.ndarray) -> float:
    """Stress after the embedding was scaled by the factor that makes it least."""
    factor = (true @ shown) / (shown @ shown)
    return float(np.sqrt(((true - factor * shown) ** 2).sum() / (true @ true)))


def class_neighbors_kept(reference: np.ndarray, embedding: np.ndarray, codes: np.ndarray, k: int) -> float:
    """Share of the k nearest class means that are still among the k nearest in the embedding."""
    n_classes = int(codes.max()) + 1
    sizes = np.bincount(codes, minlength=n_classes)[:, None]
    nearest = []
    for points in (reference, embedding):
        means = np.zeros((n_classes, points.shape[1]))
        np.add.at(means, codes, points)
        nearest.append(Ranking(means / sizes, np.arange(n_classes)).order(np.arange(n_classes))[:, :k])
    kept = [len(np.intersect1d(true, shown)) for true, shown in zip(*nearest, strict=True)]
    return float(np.mean(kept) / k)
