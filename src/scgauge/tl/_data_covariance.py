"""How data vary: a few principal directions and independent rest, as a metric for what is far from data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import randomized_svd

#: Share of the mean variance that every gene has at least.
_FLOOR = 1e-6


@dataclass(frozen=True)
class DataCovariance:
    """Covariance ``directions.T @ diag(variances) @ directions + diag(rest)``.

    Attributes
    ----------
    directions
        Orthonormal rows, ``(n_directions, n_genes)``.
    variances
        Variance along each, ``(n_directions,)``.
    rest
        Variance of each gene that the directions leave, ``(n_genes,)``, positive.
    """

    directions: np.ndarray
    variances: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, n_directions: int, rng: np.random.Generator) -> DataCovariance:
        """Fit to points, ``(n_cells, n_genes)``; at most as many directions as the points have."""
        centred = points - points.mean(0)
        n_directions = min(n_directions, *points.shape)
        seed = int(rng.integers(2**31))
        _, singular, directions = randomized_svd(centred, n_components=n_directions, random_state=seed)
        variances = singular**2 / max(1, len(points) - 1)
        total = centred.var(0, ddof=1)
        rest = np.maximum(total - (directions**2 * variances[:, None]).sum(0), _FLOOR * total.mean() + 1e-12)
        return cls(directions, np.maximum(variances, 1e-12), rest)

    def times(self, vector: np.ndarray) -> np.ndarray:
        """Multiply a vector ``(n_genes,)`` by the covariance."""
        return self.directions.T @ (self.variances * (self.directions @ vector)) + self.rest * vector

    def solve(self, vector: np.ndarray) -> np.ndarray:
        """Multiply a vector ``(n_genes,)`` by the inverse of the covariance (Woodbury)."""
        scaled = vector / self.rest
        inner = np.diag(1 / self.variances) + (self.directions / self.rest) @ self.directions.T
        return scaled - (self.directions.T @ np.linalg.solve(inner, self.directions @ scaled)) / self.rest
