"""A mixture of Gaussians fitted to latent points: what a plain autoencoder needs in order to draw new cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgauge._core.optional import later

#: Numbers of components that are tried; the best by the Bayesian information criterion is kept.
N_COMPONENTS = (1, 2, 4, 8, 16)
#: Least points for each component that is tried.
_POINTS_PER_COMPONENT = 20


@dataclass(frozen=True)
class LatentDensity:
    """Mixture of Gaussians with full covariances.

    Attributes
    ----------
    weights
        Share of each component, ``(n_components,)``.
    means
        ``(n_components, n_latent)``.
    covariances
        ``(n_components, n_latent, n_latent)``.
    bic
        Bayesian information criterion of the fit, smaller is better.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    bic: float

    def draw(self, n_points: int, rng: np.random.Generator) -> np.ndarray:
        """Draw points, ``(n_points, n_latent)``."""
        component = rng.choice(len(self.weights), n_points, p=self.weights)
        noise = rng.standard_normal((n_points, self.means.shape[1]))
        roots = np.linalg.cholesky(self.covariances)
        return self.means[component] + np.einsum("nij,nj->ni", roots[component], noise)


def fit_density(points: np.ndarray, n_components: int | None = None) -> LatentDensity:
    """Fit a mixture of Gaussians to latent points, ``(n_points, n_latent)``; choose its size if it is not given."""
    mixture = later("sklearn.mixture")
    # Scaled to variance 1, so that one ridge fits every dimension, also those that hardly vary.
    center, scale = points.mean(0), np.maximum(points.std(0), 1e-6)
    scaled = (points - center) / scale
    tried = N_COMPONENTS if n_components is None else (n_components,)
    fits = []
    for k in tried:
        if k > 1 and n_components is None and k * _POINTS_PER_COMPONENT > len(points):
            break
        fits.append(mixture.GaussianMixture(k, reg_covar=1e-4, max_iter=200, random_state=0).fit(scaled))
    best = min(fits, key=lambda fit: fit.bic(scaled))
    return LatentDensity(
        weights=best.weights_ / best.weights_.sum(),
        means=best.means_ * scale + center,
        covariances=best.covariances_ * np.outer(scale, scale),
        bic=float(best.bic(scaled)),
    )
