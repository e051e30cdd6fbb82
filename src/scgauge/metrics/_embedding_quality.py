"""How well an embedding shows the neighbours and distances of the space that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._embedding_scores import (
    adjusted,
    class_neighbors_kept,
    density_correlation,
    draw_pairs,
    neighbor_scores,
    pair_distances,
    rank_correlation,
    scaled_stress,
)
from scgauge.metrics._points import Points, as_groups, as_points
from scgauge.metrics._separation import silhouette

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scgauge.metrics._embedding_scores import NeighborScores

#: Without `n_query` every point is a query up to the first number, so many random ones beyond it.
_ALL_UP_TO, _SAMPLED = 10_000, 1000
#: Pairs of points for the scores over distances, and batches of them for the standard error.
_N_PAIRS, _N_BATCHES = 200_000, 20
#: Points of the stored curve of R_NX, pairs of the stored diagram of distances.
_CURVE_POINTS, _KEPT_PAIRS = 200, 4000
#: Most points for the silhouette, whose time grows with the square.
_SILHOUETTE_POINTS = 5000


@dataclass(frozen=True)
class EmbeddingQuality:
    """Scores of one embedding; see :func:`embedding_quality`.

    Attributes
    ----------
    scores
        Data frame with the columns ``metric``, ``k``, ``value`` and ``se``.
    curve
        Data frame of R_NX over k with the columns ``k`` and ``rnx``, at up to 200 values of k from 1 to n - 2.
    pairs
        Data frame of up to 4000 random pairs of points with the columns ``true`` and ``shown``, their distances; those
        of the embedding are scaled as for the stress.
    n_neighbors
        Numbers of neighbours, ``(n_k,)``: the columns of what follows.
    query
        Rows whose neighbours were compared, ``(n_query,)``.
    recall, trustworthiness, continuity
        Of each of these rows at each number of neighbours, ``(n_query, n_k)``.
    """

    scores: pd.DataFrame
    curve: pd.DataFrame
    pairs: pd.DataFrame
    n_neighbors: np.ndarray
    query: np.ndarray
    recall: np.ndarray
    trustworthiness: np.ndarray
    continuity: np.ndarray

    __repr__ = short_repr


def dense_points(points: Points, name: str) -> np.ndarray:
    """Return dense points in float64; TypeError if they are sparse, ValueError if all are at one place."""
    points = as_points(points, name=name)
    if sparse.issparse(points):
        message = f"`{name}` is sparse; pass a dense representation, for example principal components."
        raise TypeError(message)
    dense = np.asarray(points, dtype=np.float64)
    if len(dense) > 1 and not np.ptp(dense, axis=0).any():
        message = f"`{name}` has all {len(dense)} points at one place; it has no neighbours to compare."
        raise ValueError(message)
    return dense


def neighbor_numbers(n_neighbors: int | Sequence[int], n: int) -> np.ndarray:
    """Return the numbers of neighbours in ascending order; ValueError unless each is from 1 to below half of `n`."""
    numbers = np.atleast_1d(np.asarray(n_neighbors))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not numbers.size or len(set(numbers)) < numbers.size:
        message = f"n_neighbors={n_neighbors!r} needs one or several different integers."
        raise ValueError(message)
    bad = [int(k) for k in numbers if k < 1 or 2 * k >= n]
    if bad:
        message = (
            f"n_neighbors has {bad}; each needs to be at least 1 and below half the number of points ({n} / 2), above "
            "which trustworthiness is not defined."
        )
        raise ValueError(message)
    return np.sort(numbers).astype(np.int64)


def query_rows(n_query: int | None, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the points to ask: all, or a random sample of so many; ValueError if the number is out of range."""
    if n_query is None:
        n_query = n if n <= _ALL_UP_TO else _SAMPLED
    if not 2 <= n_query <= n:
        message = f"n_query={n_query} needs to be from 2 to the number of points, {n}."
        raise ValueError(message)
    return np.arange(n) if n_query == n else np.sort(rng.choice(n, n_query, replace=False))


def _mean(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the query rows and its standard error, which is 0 when every point was a query."""
    missing = max(0.0, 1 - len(values) / n)
    return values.mean(axis=0), values.std(axis=0, ddof=1) * np.sqrt(missing / len(values))


def _neighbor_rows(found: NeighborScores, n_neighbors: np.ndarray, n: int) -> list[tuple[str, int, float, float]]:
    recall, error = _mean(found.recall, n)
    stretch = (n - 1) / (n - 1 - n_neighbors)
    columns = {
        "recall": (recall, error),
        "lcmc": (recall - n_neighbors / (n - 1), error),
        "rnx": (adjusted(recall, n_neighbors, n), error * stretch),
        "trustworthiness": _mean(found.trustworthiness, n),
        "continuity": _mean(found.continuity, n),
    }
    density = np.array([density_correlation(found.log_radius[:, :, column]) for column in range(len(n_neighbors))])
    missing = np.sqrt(max(0.0, 1 - len(found.recall) / n))
    columns["density"] = (density[:, 0], density[:, 1] * missing if missing else np.zeros(len(density)))
    if found.same_label is not None and found.voted_label is not None:
        columns["neighborhood_hit"] = _mean(found.same_label, n)
        columns["knn_accuracy"] = _mean(found.voted_label, n)
    rows = [
        (metric, int(k), float(value), float(se))
        for metric, (values, errors) in columns.items()
        for k, value, se in zip(n_neighbors, values, errors, strict=True)
    ]
    area, area_error = _mean(found.auc, n)
    return [*rows, ("auc_lnk", 0, float(area), float(area_error))]


def _pair_rows(true: np.ndarray, shown: np.ndarray, *, complete: bool) -> list[tuple[str, int, float, float]]:
    rows = []
    statistics: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "spearman": rank_correlation,
        "stress": scaled_stress,
    }
    for metric, statistic in statistics.items():
        error = 0.0
        if not complete:
            batches = zip(np.array_split(true, _N_BATCHES), np.array_split(shown, _N_BATCHES), strict=True)
            error = float(np.std([statistic(*batch) for batch in batches], ddof=1) / np.sqrt(_N_BATCHES))
        rows.append((metric, 0, statistic(true, shown), error))
    return rows


def _check_copies(true: np.ndarray, least: int) -> None:
    """Raise ValueError if the nearest neighbours of some points are any of their copies."""
    _, group, counts = np.unique(true, axis=0, return_inverse=True, return_counts=True)
    n_bad = int((counts[group.ravel()] > least + 1).sum())
    if n_bad:
        message = (
            f"{n_bad} of the {len(true)} points of `reference` have more than {least} exact copies, so that their "
            f"{least} nearest neighbours are not defined. Drop duplicated cells or raise n_neighbors."
        )
        raise ValueError(message)


def _kept_pairs(true: np.ndarray, shown: np.ndarray) -> pd.DataFrame:
    """Evenly spaced ones of the pairs, which are in random order unless they are all."""
    rows = np.linspace(0, len(true) - 1, min(len(true), _KEPT_PAIRS)).astype(np.int64)
    factor = (true @ shown) / (shown @ shown)
    return pd.DataFrame({"true": true[rows], "shown": factor * shown[rows]})


def _label_rows(
    true: np.ndarray, points: np.ndarray, codes: np.ndarray, seed: int
) -> list[tuple[str, int, float, float]]:
    """Scores of labels that need no neighbours of cells."""
    n_labels = int(codes.max()) + 1
    rows = []
    if n_labels >= 3:
        k = min(10, (n_labels - 1) // 2)
        rows.append(("knc", k, class_neighbors_kept(true, points, codes, k), 0.0))
    if 2 <= n_labels < len(codes) and n_labels < _SILHOUETTE_POINTS:
        width = silhouette(points, codes, n_max=_SILHOUETTE_POINTS, rng=seed)
        error = 0.0 if width.n_points == len(codes) else float("nan")
        rows.append(("silhouette", 0, width.score, error))
    return rows


def _curve(found: NeighborScores, n_query: int, n: int) -> pd.DataFrame:
    k = np.unique(np.geomspace(1, n - 2, _CURVE_POINTS).round().astype(np.int64))
    return pd.DataFrame({"k": k, "rnx": adjusted(found.shared[k - 1] / (n_query * k), k, n)})


def score_embeddings(
    reference: Points,
    embeddings: Mapping[str, Points],
    *,
    n_neighbors: int | Sequence[int] = (15, 50, 150),
    n_query: int | None = None,
    labels: Any = None,
    rng: RNG = None,
) -> dict[str, EmbeddingQuality]:
    """Score several embeddings, named, against one reference whose neighbours are found once."""
    true = dense_points(reference, "reference")
    n = len(true)
    shown = {name: dense_points(points, name) for name, points in embeddings.items()}
    for name, points in shown.items():
        if len(points) != n:
            message = f"`{name}` has {len(points)} points and `reference` {n}; both need the same points."
            raise ValueError(message)
    numbers = neighbor_numbers(n_neighbors, n)
    _check_copies(true, int(numbers[0]))
    codes = None if labels is None else as_groups(labels, n)[0]
    generated = generator(rng)
    rows = query_rows(n_query, n, generated)
    scored = neighbor_scores(true, list(shown.values()), rows, numbers, generated.permutation(n), codes)
    first, second, complete = draw_pairs(n, _N_PAIRS, generated)
    true_distances = pair_distances(true, first, second)
    seed = int(generated.integers(2**31))
    results = {}
    for (name, points), found in zip(shown.items(), scored, strict=True):
        table = _neighbor_rows(found, numbers, n)
        distances = pair_distances(points, first, second)
        table += _pair_rows(true_distances, distances, complete=complete)
        if codes is not None:
            table += _label_rows(true, points, codes, seed)
        results[name] = EmbeddingQuality(
            scores=pd.DataFrame(table, columns=["metric", "k", "value", "se"]),
            curve=_curve(found, len(rows), n),
            pairs=_kept_pairs(true_distances, distances),
            n_neighbors=numbers,
            query=rows,
            recall=found.recall,
            trustworthiness=found.trustworthiness,
            continuity=found.continuity,
        )
    return results


def embedding_quality(
    reference: Points,
    embedding: Points,
    *,
    n_neighbors: int | Sequence[int] = (15, 50, 150),
    n_query: int | None = None,
    labels: Any = None,
    rng: RNG = None,
) -> EmbeddingQuality:
    r"""Score how well an embedding keeps the neighbours and the distances of the space that it shows.

    With :math:`N_k(i)` the `k` nearest neighbours of point :math:`i`, itself excluded, :math:`\rho_{ij}` the rank of
    :math:`j` among them and :math:`n` points, the table has

    ``recall``
        :math:`Q_{NX}(k)`, the share of the true neighbours that are neighbours in the embedding.
    ``lcmc``, ``rnx``
        Recall less chance, :math:`Q_{NX} - k/(n-1)` :cite:p:`Chen09`, and rescaled so that chance is 0 and perfect
        is 1, :math:`R_{NX} = ((n-1) Q_{NX} - k)/(n-1-k)` :cite:p:`Lee09`.
    ``auc_lnk``
        Mean of :math:`R_{NX}` over all :math:`k \le n-2` with weights :math:`1/k`: one number for all scales
        :cite:p:`Lee15`.
    ``trustworthiness``, ``continuity``
        :math:`1 - \frac{2}{nk(2n-3k-1)} \sum_{ij} (\rho_{ij} - k)` over the embedded neighbours that are no true ones,
        and the same with the spaces exchanged :cite:p:`Venna01`: false neighbours, and neighbours torn apart.
    ``spearman``, ``stress``
        Rank correlation of true and embedded distances, and
        :math:`\sqrt{\sum (D - \alpha d)^2 / \sum D^2}` with the best scale :math:`\alpha` (lower is better): over all
        pairs if there are no more than 200,000, else over so many random ones.
    ``density``
        Correlation of the logs of the mean squared distances to the `k` nearest neighbours in both spaces: whether
        dense regions are drawn dense :cite:p:`Narayan21`.
    ``neighborhood_hit``, ``knn_accuracy``, ``silhouette``, ``knc``
        With labels: the share of embedded neighbours with the point's own label; the share of points whose label wins
        the vote of their embedded neighbours; the mean silhouette width in the embedding, of at most 5000 points
        (:func:`scgauge.metrics.silhouette`); and, from three labels on, the share of the nearest label means kept
        :cite:p:`Kobak19` among `k` = 10, at most half of the other labels.

    Distances are Euclidean. The ranks are computed from all points in blocks of rows, so that time grows with
    ``n_query * n`` and memory with `n`. Points at equal distance are ranked in a random order common to both spaces.

    Parameters
    ----------
    reference
        Points in the space that is to be shown, ``(n, p)``, dense.
    embedding
        The same points in the embedding, ``(n, q)``.
    n_neighbors
        Numbers of neighbours, each below ``n / 2``.
    n_query
        Number of random points whose neighbours are compared with those among all points; ``None`` takes every point
        up to 10,000 and 1000 beyond.
    labels
        Label of each point, ``(n,)``.
    rng
        Seed or Generator of the query points, the pairs and the order of ties.

    Returns
    -------
    The scores, the curve of :math:`R_{NX}` and the scores of each query point. In the table ``k`` is 0 where a score
    has none, and ``se`` is the standard error that sampling query points or pairs leaves, 0 where nothing was sampled
    and NaN for the silhouette of a sample.

    Raises
    ------
    TypeError
        If points are sparse, an AnnData or not numeric.
    ValueError
        If points are not 2-D, not finite or all equal; if the numbers of points differ; if a number of neighbours is
        below 1 or not below ``n / 2``; if points of the reference have more exact copies than the smallest number of
        neighbours; if ``n_query`` is not from 2 to ``n``; if labels are missing.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> points = np.random.default_rng(0).normal(size=(100, 5))
    >>> quality = scgauge.metrics.embedding_quality(points, points[:, :2], n_neighbors=10, rng=0)
    >>> quality.scores.set_index("metric")["value"]["recall"].round(2).item()
    0.31
    >>> perfect = scgauge.metrics.embedding_quality(points, 3 * points, n_neighbors=10, rng=0).scores
    >>> perfect.set_index("metric")["value"].round(9)[["rnx", "auc_lnk", "continuity", "spearman"]].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return score_embeddings(
        reference, {"embedding": embedding}, n_neighbors=n_neighbors, n_query=n_query, labels=labels, rng=rng
    )["embedding"]
