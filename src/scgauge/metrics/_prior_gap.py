from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from scgauge._core.rng import RNG, generator
from scgauge.metrics._energy import energy_distance
from scgauge.metrics._points import as_dense

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Pairs of draw and cell whose densities are held at once.
_PAIRS_AT_ONCE = 2**22
#: Most draws in the energy distance, whose time grows with their square.
_MOST_IN_DISTANCE = 2000


@dataclass(frozen=True)
class PriorGap:
    r"""How far the aggregate posterior :math:`\bar q(z) = \frac1n \sum_i q(z | x_i)` is from the prior N(0, I).

    Attributes
    ----------
    kl
        Monte-Carlo estimate of :math:`\mathrm{KL}(\bar q \| p)`, in nats.
    kl_se
        Its standard error over draws.
    kl_gaussian
        Divergence of the Gaussian with the moments of :math:`\bar q`; the part that mean and covariance explain.
    mean_kl
        Mean over cells of :math:`\mathrm{KL}(q(z | x_i) \| p)`, the term of the ELBO.
    mutual_information
        :math:`I(x; z)`, ``mean_kl - kl``: at most the log of the number of cells.
    energy_distance
        Energy distance (unbiased form) between draws from both, at most 2000 of each.
    n_cells, n_samples
        Cells behind :math:`\bar q` and number of draws.
    """

    kl: float
    kl_se: float
    kl_gaussian: float
    mean_kl: float
    mutual_information: float
    energy_distance: float
    n_cells: int
    n_samples: int


def _log_mixture_density(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the log density of an equal mixture of diagonal Gaussians at each draw, ``(n_samples,)``."""
    precision = 1 / variance
    constant = -0.5 * (np.log(2 * np.pi * variance).sum(1) + (mean**2 * precision).sum(1))
    log_density = np.empty(len(z))
    block = max(1, _PAIRS_AT_ONCE // len(mean))
    for start in range(0, len(z), block):
        draws = z[start : start + block]
        log_pairs = constant - 0.5 * (draws**2) @ precision.T + draws @ (mean * precision).T
        log_density[start : start + block] = logsumexp(log_pairs, axis=1) - np.log(len(mean))
    return log_density


def prior_gap(mean: ArrayLike, variance: ArrayLike, *, n_samples: int = 1000, rng: RNG = None) -> PriorGap:
    r"""Measure how far the aggregate posterior is from the standard normal prior :cite:p:`Hoffman16`.

    Samples from the prior look like cells only where both agree. The mixture runs over all given cells, blockwise;
    for a subset of cells the divergence is biased upward, since fewer components overlap less.

    Parameters
    ----------
    mean
        Posterior means, ``(n_cells, n_latent)``.
    variance
        Posterior variances, ``(n_cells, n_latent)``.
    n_samples
        Draws from the aggregate posterior, spread evenly over the cells.
    rng
        Seed or generator.

    Returns
    -------
    The divergences, in nats.

    Raises
    ------
    ValueError
        If the shapes differ, a variance is not positive, or there are fewer than two draws.

    Examples
    --------
    A posterior that ignores the cell is the prior itself:

    >>> import numpy as np
    >>> from scgauge.metrics import prior_gap
    >>> gap = prior_gap(np.zeros((5, 2)), np.ones((5, 2)), rng=0)
    >>> round(abs(gap.kl), 6), gap.kl_gaussian, gap.mean_kl
    (0.0, 0.0, 0.0)
    """
    mean, variance = as_dense(mean, name="mean"), as_dense(variance, name="variance")
    if mean.ndim != 2 or 0 in mean.shape or mean.shape != variance.shape or not (variance > 0).all():
        message = (
            f"`mean` and `variance` must be (n_cells, n_latent) arrays with positive variances; found shapes "
            f"{mean.shape} and {variance.shape}."
        )
        raise ValueError(message)
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        message = "`mean` and `variance` must be finite; found values that are NaN or infinite."
        raise ValueError(message)
    if n_samples < 2:
        message = f"n_samples={n_samples} was given; at least 2 draws are needed."
        raise ValueError(message)
    rng = generator(rng)
    n_cells, n_latent = mean.shape
    cells = rng.permutation(np.resize(rng.permutation(n_cells), n_samples))
    z = mean[cells] + np.sqrt(variance[cells]) * rng.standard_normal((n_samples, n_latent))
    log_prior = -0.5 * (z**2).sum(1) - 0.5 * n_latent * np.log(2 * np.pi)
    log_ratio = _log_mixture_density(z, mean, variance) - log_prior
    mean_kl = float(0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(1).mean())
    centre = mean.mean(0)
    covariance = np.cov(mean.T, bias=True).reshape(n_latent, n_latent) + np.diag(variance.mean(0))
    kl_gaussian = 0.5 * (np.trace(covariance) + centre @ centre - n_latent - np.linalg.slogdet(covariance)[1])
    kl = float(log_ratio.mean())
    return PriorGap(
        kl=kl,
        kl_se=float(log_ratio.std(ddof=1) / np.sqrt(n_samples)),
        kl_gaussian=float(kl_gaussian),
        mean_kl=mean_kl,
        mutual_information=mean_kl - kl,
        # Draws are in random order, so that the first are draws like the others.
        energy_distance=energy_distance(
            z[:_MOST_IN_DISTANCE], rng.standard_normal((min(n_samples, _MOST_IN_DISTANCE), n_latent)), estimator="u"
        ),
        n_cells=n_cells,
        n_samples=n_samples,
    )
