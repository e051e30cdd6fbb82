"""The properties in which synthetic cells are compared with real ones, and what each is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from scgauge.metrics import (
    classifier_two_sample,
    density_coverage,
    energy_distance,
    matrix_agreement,
    neighbor_mixing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgauge.tl._cell_space import Cells, Kind

    Score = Callable[[Cells, Cells, int], dict[str, float]]

#: Bins of genes of similar means in a mean-variance trend.
_BINS = 20
#: Neighbours of density and coverage, and of mixing.
_SPAN, _NEIGHBORS = 5, 15
#: Folds of the classifiers.
_FOLDS = 3


@dataclass(frozen=True)
class Property:
    """A property, its statistics, and the copy of the training cells that has it wrong, by kind of data."""

    family: str
    name: str
    score: Score
    yardsticks: dict[Kind, str]


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).mean()))


def _mean(a: Cells, b: Cells, _: int) -> dict[str, float]:
    if a.space.kind == "counts":
        return {"rmse of square roots": _rmse(np.sqrt(a.genes.mean), np.sqrt(b.genes.mean))}
    return {"rmse": _rmse(a.genes.mean, b.genes.mean)}


def _variance(a: Cells, b: Cells, _: int) -> dict[str, float]:
    return {"rmse of square roots": _rmse(np.sqrt(a.genes.variance), np.sqrt(b.genes.variance))}


def _gene_zeros(a: Cells, b: Cells, _: int) -> dict[str, float]:
    return {"rmse": _rmse(a.genes.zero_fraction, b.genes.zero_fraction)}


def _dispersion(a: Cells, b: Cells, _: int) -> dict[str, float]:
    """Compare log Fano factors of the genes that are detected in at least ten of the real cells."""
    detected = (1 - b.genes.zero_fraction) * len(b) >= min(10, len(b) / 2)
    detected &= (a.genes.variance > 0) & (b.genes.variance > 0)
    if not detected.any():
        return {"rmse of log Fano": float("nan")}
    return {"rmse of log Fano": _rmse(np.log(a.genes.fano[detected]), np.log(b.genes.fano[detected]))}


def _trend(a: Cells, b: Cells, _: int) -> dict[str, float]:
    """Compare the median log Fano factors in bins of genes with similar means in the real cells."""
    curves = []
    shared = (a.genes.mean > 0) & (b.genes.mean > 0) & (a.genes.variance > 0) & (b.genes.variance > 0)
    order = np.flatnonzero(shared)[np.argsort(b.genes.mean[shared], kind="stable")]
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    for cells in (a, b):
        curves.append(np.array([np.median(np.log(cells.genes.fano[part])) for part in bins]))
    return {"rmse of log Fano": _rmse(*curves) if bins else float("nan")}


def _distribution(name: str) -> Score:
    def score(a: Cells, b: Cells, _: int) -> dict[str, float]:
        first, second = (np.asarray(getattr(cells.cells, name), dtype=float) for cells in (a, b))
        distance = float(stats.wasserstein_distance(first, second))
        pooled = np.concatenate([first, second])
        spread = float(np.ptp(pooled))
        return {
            "KS": float(stats.ks_2samp(first, second, method="asymp").statistic),
            "Wasserstein": distance,
            "eCDF area": distance / spread if spread > 0 else 0.0,
        }

    return score


def _matrix(kind: str, statistic: str, label: str) -> Score:
    def score(a: Cells, b: Cells, _: int) -> dict[str, float]:
        first, second = (cells.log_odds if kind == "log_odds" else cells.dependences[kind] for cells in (a, b))
        value = float(getattr(matrix_agreement(second, first), statistic))
        # Shrinkage may leave no correlation at all: nothing agrees then.
        return {label: 0.0 if statistic == "pearson" and np.isnan(value) else value}

    return score


def _energy(a: Cells, b: Cells, _: int) -> dict[str, float]:
    return {"distance": energy_distance(a.points, b.points)}


def _classifier(a: Cells, b: Cells, seed: int) -> dict[str, float]:
    return {
        "AUC logistic": classifier_two_sample(b.top, a.top, n_folds=_FOLDS, rng=seed).auc,
        "AUC boosting": classifier_two_sample(b.points, a.points, classifier="boosting", n_folds=_FOLDS, rng=seed).auc,
    }


def _density(a: Cells, b: Cells, _: int) -> dict[str, float]:
    result = density_coverage(b.points, a.points, n_neighbors=min(_SPAN, len(a) - 1, len(b) - 1))
    return {"density": result.density, "coverage": result.coverage}


def _mixing(a: Cells, b: Cells, _: int) -> dict[str, float]:
    return {"mixing": neighbor_mixing(b.points, a.points, n_neighbors=min(_NEIGHBORS, len(a) - 1, len(b) - 1)).mixing}


def _same(yardstick: str) -> dict[Kind, str]:
    return {"counts": yardstick, "binary": yardstick, "continuous": yardstick}


_OF_GENES: dict[Kind, str] = {"counts": "poisson", "binary": "shuffled", "continuous": "shuffled"}
_OF_CELLS: dict[Kind, str] = {"counts": "poisson", "binary": "independent", "continuous": "independent"}

#: Every property. A Poisson copy keeps the library sizes, so that these are measured against independent genes.
PROPERTIES = (
    Property("genes", "mean", _mean, _same("shuffled")),
    Property("genes", "variance", _variance, _OF_GENES),
    Property("genes", "dispersion", _dispersion, {"counts": "poisson"}),
    Property("genes", "mean-variance trend", _trend, {"counts": "poisson"}),
    Property("genes", "zero fraction", _gene_zeros, _OF_GENES),
    Property("cells", "library", _distribution("library"), _same("independent")),
    Property("cells", "detected genes", _distribution("n_genes"), _OF_CELLS),
    Property("cells", "zero fraction of cells", _distribution("zero_fraction"), _OF_CELLS),
    Property("pairs", "correlation", _matrix("pearson", "rmse", "rmse"), _same("independent")),
    Property("pairs", "covariance", _matrix("covariance", "relative", "relative error"), _same("independent")),
    Property("pairs", "partial correlation", _matrix("partial", "pearson", "r over pairs"), _same("independent")),
    Property("pairs", "log odds ratio", _matrix("log_odds", "rmse", "rmse"), _same("independent")),
    Property("joint", "energy", _energy, _same("independent")),
    Property("joint", "classifier", _classifier, _same("independent")),
    Property("joint", "neighbourhoods", _density, _same("independent")),
    Property("joint", "nearest neighbours", _mixing, _same("independent")),
)


def scores(candidate: Cells, reference: Cells, yardstick: str | None, seed: int) -> dict[tuple[str, str, str], float]:
    """Score a candidate against reference cells.

    Parameters
    ----------
    candidate, reference
        Cells to be judged, and real cells that were held out.
    yardstick
        Only the properties that this copy is the yardstick of; all if ``None``.
    seed
        Seed of the folds of the classifiers.

    Returns
    -------
    Value of each (family, property, statistic).
    """
    found = {}
    for item in PROPERTIES:
        own = item.yardsticks.get(candidate.space.kind)
        if own is None or yardstick not in {None, own}:
            continue
        for statistic, value in item.score(candidate, reference, seed).items():
            found[item.family, item.name, statistic] = value
    return found
