"""Ridge scores of many targets from subsets of sparse variables, from one Gram matrix for each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix


class RidgeFold:
    """Training cells of a fold: what ridge regressions on standardised variables need, and the test cells.

    Parameters
    ----------
    train
        Training cells, ``(n, p)``, dense or sparse; never made dense.
    test
        Test cells, ``(m, p)``.
    targets
        Zeros and ones for the training cells, ``(n, n_targets)``.
    ridge
        Penalty in units of the variance of a standardised variable.
    """

    def __init__(self, train: Matrix, test: Matrix, targets: np.ndarray, ridge: float) -> None:
        n = train.shape[0]
        mean = np.asarray(train.mean(axis=0)).ravel()
        product = train.T @ train
        gram = np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float64)
        variance = np.maximum(np.diag(gram) / n - mean**2, 0)
        self.scale = np.where(variance > 1e-12, np.sqrt(variance), np.inf)  # what does not vary says nothing
        self.gram = (gram / n - np.outer(mean, mean)) / np.outer(self.scale, self.scale)
        self.gram[np.diag_indices_from(self.gram)] += ridge
        cross = np.asarray(train.T @ targets, dtype=np.float64) / n
        self.cross = (cross - np.outer(mean, targets.mean(axis=0))) / self.scale[:, None]
        self.test = test.tocsc() if sparse.issparse(test) else test

    def from_some(self, variables: np.ndarray, target: int) -> np.ndarray:
        """Score the test cells by some variables, ``(m,)``."""
        inside = np.ix_(variables, variables)
        weights = np.linalg.solve(self.gram[inside], self.cross[variables, target])
        return np.asarray(self.test[:, variables] @ (weights / self.scale[variables])).ravel()

    def from_all_others(self, excluded: np.ndarray) -> np.ndarray:
        """Score the test cells by all variables but one for each target, ``(m, n_targets)``.

        The inverse without a row and column follows from the whole inverse, so that one inverse serves all targets.
        """
        inverse = np.linalg.inv(self.gram)
        weights = inverse @ self.cross
        for target, variable in enumerate(excluded):
            weights[:, target] -= inverse[:, variable] * weights[variable, target] / inverse[variable, variable]
        return np.asarray(self.test @ (weights / self.scale[:, None]))


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN with one class only."""
    n_ones = int(labels.sum())
    if n_ones in (0, len(labels)):
        return float("nan")
    ranks = rankdata(scores)[labels.astype(bool)]
    return float((ranks.sum() - n_ones * (n_ones + 1) / 2) / (n_ones * (len(labels) - n_ones)))
