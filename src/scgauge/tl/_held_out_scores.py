"""Scores of predicted cells of a time that was held out, next to what simple predictions reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scgauge._core.optional import later
from scgauge.metrics import energy_distance, wasserstein_distance
from scgauge.metrics._wasserstein import couple_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most cells on each side of the scores over all genes, and splits of the real cells for the floor.
_MOST_CELLS, _N_SPLITS = 500, 2
#: Numbers of principal components in which distances are computed.
DIMENSIONS = (5, 20)


def log_normalise(x: Any) -> np.ndarray:
    """Return log1p of counts per 10,000, dense."""
    counts = np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float64)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))


@dataclass(frozen=True)
class Space:
    """Principal components of the training cells, scaled to unit variance there; genes that vary there.

    Attributes
    ----------
    pca
        The fitted components.
    mean, sd
        Of the components over the training cells.
    counts
        Whether data are counts, which are log-normalised first.
    """

    pca: Any
    mean: np.ndarray
    sd: np.ndarray
    counts: bool

    @classmethod
    def of(cls, x: Any, *, counts: bool) -> Space:
        """Fit the space on training cells alone."""
        expression = log_normalise(x) if counts else np.asarray(x, dtype=np.float64)
        n = min(max(DIMENSIONS), *expression.shape)
        pca = later("sklearn.decomposition").PCA(n, random_state=0).fit(expression)
        scores = pca.transform(expression)
        return cls(pca, scores.mean(0), np.maximum(scores.std(0), 1e-12), counts)

    def expression(self, x: Any) -> np.ndarray:
        """Return what is compared in gene space."""
        if self.counts:
            return log_normalise(x)
        return np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float64)

    def project(self, expression: np.ndarray) -> np.ndarray:
        """Return the scaled components."""
        return (self.pca.transform(expression) - self.mean) / self.sd


def naive_predictions(
    space: Space,
    before: Any,
    after: Any,
    weight: float,
    n_cells: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield predictions that need no model: name and expression of the cells.

    Parameters
    ----------
    space
        Space of the training cells.
    before, after
        Cells of the training times around the one held out; one may be ``None``.
    weight
        Share of the way from the first to the second.
    n_cells
        Cells of an interpolation.
    rng
        Source of randomness.
    """
    first = None if before is None else space.expression(before)
    last = None if after is None else space.expression(after)
    if first is not None:
        yield "copy_previous", first
    if last is not None:
        yield "copy_next", last
    if first is None or last is None:
        known = np.asarray(last if first is None else first)
        yield "mean_cell", np.tile(known.mean(0), (len(known), 1))
        return
    sizes = rng.binomial(n_cells, weight)
    parts = [first[rng.integers(len(first), size=n_cells - sizes)], last[rng.integers(len(last), size=sizes)]]
    yield "mixture", np.concatenate(parts)
    yield "mean_shift", first + weight * (last.mean(0) - first.mean(0))
    n_dims = min(5, len(space.sd))
    i, j = couple_pairs(space.project(first)[:, :n_dims], space.project(last)[:, :n_dims], n_cells, rng)
    yield "optimal_transport", (1 - weight) * first[i] + weight * last[j]
    middle = (1 - weight) * first.mean(0) + weight * last.mean(0)
    yield "mean_cell", np.tile(middle, (len(first), 1))


def classifier_auc(real: np.ndarray, predicted: np.ndarray, seed: int) -> float:
    """Area under the curve of a classifier by nearest neighbours of real and predicted cells; 0.5 is perfect.

    The vote of a cell comes from the 15 nearest of the other folds.
    """
    n = min(len(real), len(predicted))
    rng = np.random.default_rng(seed)
    points = np.concatenate([part[rng.permutation(len(part))[:n]] for part in (real, predicted)])
    labels = np.repeat([0, 1], n)
    classifier = later("sklearn.neighbors").KNeighborsClassifier(min(15, n))
    selection = later("sklearn.model_selection")
    folds = selection.StratifiedKFold(min(5, n), shuffle=True, random_state=seed)
    votes = selection.cross_val_predict(classifier, points, labels, cv=folds, method="predict_proba")[:, 1]
    return float(later("sklearn.metrics").roc_auc_score(labels, votes))


def scores(space: Space, real: np.ndarray, predicted: np.ndarray, seed: int) -> list[tuple[str, str, float]]:
    """Return rows (space, statistic, value) that compare predicted with real expression."""
    rows: list[tuple[str, str, float]] = []
    real_points, points = space.project(real), space.project(predicted)
    for n_dims in DIMENSIONS:
        if n_dims > len(space.sd):
            continue
        x, y = points[:, :n_dims], real_points[:, :n_dims]
        rows += [
            (f"pca{n_dims}", "wasserstein", wasserstein_distance(x, y)),
            (f"pca{n_dims}", "energy", energy_distance(x, y, estimator="v")),
        ]
    rng = np.random.default_rng(seed)
    x, y = (part[rng.permutation(len(part))[:_MOST_CELLS]] for part in (predicted, real))
    variance = y.var(0).mean()
    rows += [
        ("genes", "energy", energy_distance(x, y, estimator="v")),
        ("genes", "variance_ratio", float(x.var(0).mean() / variance) if variance else float("nan")),
        ("genes", "zero_fraction", float((x <= 0).mean())),
        ("genes", "auc", classifier_auc(real_points, points, seed)),
    ]
    return rows


def floor_scores(space: Space, real: np.ndarray, seed: int) -> list[tuple[str, str, float]]:
    """Return the mean scores of one half of the real cells against the other."""
    rng = np.random.default_rng(seed)
    found: dict[tuple[str, str], list[float]] = {}
    for split in range(_N_SPLITS):
        order = rng.permutation(len(real))
        half = len(real) // 2
        for where, statistic, value in scores(space, real[order[:half]], real[order[half:]], seed + split):
            found.setdefault((where, statistic), []).append(value)
    return [(*key, float(np.mean(values))) for key, values in found.items()]
