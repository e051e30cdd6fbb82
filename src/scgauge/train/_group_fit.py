"""Groups of cells that move together, learned from the latent points of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from scgauge._core.optional import later
from scgauge.train._snapshot_paths import N_PATHS, couple

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Most principal components of the chains that are clustered, and starts that are tried.
_COMPONENTS, N_STARTS = 10, 3
#: Steps of expectation maximisation, and the gain for a cell (nats) below which they end.
_MOST_STEPS, _SMALL_GAIN = 300, 1e-5
#: Cells' worth of belief that a group's covariance is that of all groups and times, and its share that of all times.
_PRIOR_COVARIANCE, _PRIOR_SHARE = 50.0, 50.0
#: One normal cloud of n cells in d dimensions that is divided in two ends up with centres whose squared distance, in
#: units of the covariance, is about (18 + 9 d) / sqrt(n): simulated for n = 50 to 500 and d = 2 and 10.
_ONE_CLOUD = (18.0, 9.0)
#: How much farther apart than that two groups have to be.
_MARGIN = 1.2
#: Added to covariances, in units of the mean variance of a latent dimension.
_RIDGE = 1e-4


class GroupFit(NamedTuple):
    """Groups at each snapshot.

    Attributes
    ----------
    mean, covariance, share
        ``(n_times, n_groups, n_latent)``, ``(n_times, n_groups, n_latent, n_latent)``, ``(n_times, n_groups)``.
    probability
        Of each snapshot, the groups' probabilities of its cells, ``(n_t, n_groups)``.
    log_likelihood
        Mean over all cells, in nats.
    """

    mean: np.ndarray
    covariance: np.ndarray
    share: np.ndarray
    probability: list[np.ndarray]
    log_likelihood: float


def _log_joint(points: np.ndarray, mean: np.ndarray, covariance: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Logarithm of share times density of each group, ``(n, n_groups)``."""
    parts = []
    for centre, spread, weight in zip(mean, covariance, share, strict=True):
        factor = cholesky(spread, lower=True)
        offset = (points - centre).T
        squared = (offset * cho_solve((factor, True), offset)).sum(0)
        constant = np.log(max(weight, 1e-300)) - np.log(np.diag(factor)).sum() - len(centre) / 2 * np.log(2 * np.pi)
        parts.append(constant - squared / 2)
    return np.column_stack(parts)


def _maximise(
    snapshots: Sequence[np.ndarray], probability: Sequence[np.ndarray], joined: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Means, covariances and shares that fit the probabilities best, with weak beliefs that keep small groups tame."""
    sizes = np.stack([part.sum(0) for part in probability])
    overall = sizes.sum(0) / sizes.sum()
    share = (sizes + _PRIOR_SHARE * overall) / (sizes.sum(1, keepdims=True) + _PRIOR_SHARE)
    means, scatters, counts = [], [], []
    for points, own, cloud in zip(snapshots, probability, joined, strict=True):
        weights = own @ (cloud[:, None] == cloud)  # groups of one cloud share its cells
        size = np.maximum(weights.sum(0), 1e-8)
        mean = weights.T @ points / size[:, None]
        offset = points[:, None] - mean
        scatter = np.einsum("nk,nki,nkj->kij", weights, offset, offset)
        means.append(mean)
        scatters.append(scatter)
        counts.append(size)
    total, size = np.stack(scatters), np.stack(counts)
    # Within groups, of all times: where groups overlap, their spread is what it is where they do not.
    pooled = np.einsum("tk,tkij->ij", sizes / size, total) / sizes.sum()
    pooled = pooled + (_RIDGE * np.trace(pooled) / len(pooled) + 1e-12) * np.eye(len(pooled))
    covariance = (total + _PRIOR_COVARIANCE * pooled) / (size + _PRIOR_COVARIANCE)[..., None, None]
    return np.stack(means), covariance, share


def refine_groups(
    snapshots: Sequence[np.ndarray], probability: Sequence[np.ndarray], *, joined: np.ndarray | None = None
) -> GroupFit:
    """Fit one normal distribution for each group and snapshot by expectation maximisation.

    Parameters
    ----------
    snapshots
        Points at each time, ``(n_t, n_latent)``.
    probability
        First probabilities of the groups, ``(n_t, n_groups)``.
    joined
        Number of the cloud of each group at each time, ``(n_times, n_groups)``: groups of one cloud have one mean and
        covariance. Each has its own if ``None``.
    """
    if joined is None:
        joined = np.tile(np.arange(probability[0].shape[1]), (len(snapshots), 1))
    current, last = [np.asarray(part) for part in probability], -np.inf
    n_cells = sum(len(points) for points in snapshots)
    for _ in range(_MOST_STEPS):
        parameters = _maximise(snapshots, current, joined)
        joint = [_log_joint(points, *rows) for points, *rows in zip(snapshots, *parameters, strict=True)]
        totals = [logsumexp(part, axis=1) for part in joint]
        current = [np.exp(part - total[:, None]) for part, total in zip(joint, totals, strict=True)]
        value = float(sum(total.sum() for total in totals)) / n_cells
        if abs(value - last) < _SMALL_GAIN:
            break
        last = value
    mean, covariance, share = parameters
    return GroupFit(mean, covariance, share, current, value)


def _linked(fit: GroupFit, rows: Sequence[np.ndarray]) -> GroupFit:
    """Name the groups of each snapshot as those of the one before that most of their chains come from."""
    order = [np.arange(fit.share.shape[1])]
    for time in range(1, len(rows)):
        before = fit.probability[time - 1][rows[time - 1]][:, order[-1]]
        order.append(linear_sum_assignment(-before.T @ fit.probability[time][rows[time]])[1])
    total = sum(part[:, index].sum(0) for part, index in zip(fit.probability, order, strict=True))
    largest = np.argsort(-np.asarray(total), kind="stable")
    order = [index[largest] for index in order]
    mean, covariance, share = (
        np.stack([part[index] for part, index in zip(parts, order, strict=True)])
        for parts in (fit.mean, fit.covariance, fit.share)
    )
    probability = [part[:, index] for part, index in zip(fit.probability, order, strict=True)]
    return GroupFit(mean, covariance, share, probability, fit.log_likelihood)


def _closest(fit: GroupFit, time: int, n_cells: int, cloud: np.ndarray) -> tuple[float, int, int]:
    """Two groups of different clouds that lie closest: how close, 1 for the halves of one cloud, and their numbers."""
    best, n_groups = (np.inf, 0, 0), len(cloud)
    for first in range(n_groups):
        for second in range(first + 1, n_groups):
            if cloud[first] == cloud[second]:
                continue
            pair = [first, second]
            share = np.array([fit.share[time][cloud == cloud[group]].sum() for group in pair])
            within = np.tensordot(share / share.sum(), fit.covariance[time][pair], 1)
            n_both = max(4 * n_cells * share.prod() / share.sum(), 1.0)  # all of them if there are as many of each
            apart = fit.mean[time][first] - fit.mean[time][second]
            expected = (_ONE_CLOUD[0] + _ONE_CLOUD[1] * len(apart)) / np.sqrt(n_both)
            best = min(best, (float(apart @ np.linalg.solve(within, apart)) / expected, first, second))
    return best


def _joined(fit: GroupFit, snapshots: Sequence[np.ndarray]) -> GroupFit:
    """Join groups at times at which they are no farther apart than the halves of one cloud would be."""
    n_groups = fit.share.shape[1]
    joined = np.tile(np.arange(n_groups), (len(snapshots), 1))
    for _ in range(n_groups - 1):
        before = joined.copy()
        for time, points in enumerate(snapshots):
            ratio, first, second = _closest(fit, time, len(points), joined[time])
            if ratio < _MARGIN:
                joined[time][joined[time] == joined[time][second]] = joined[time][first]
        if (joined == before).all():
            break
        fit = refine_groups(snapshots, fit.probability, joined=joined)
    return fit


def fit_groups(
    snapshots: Sequence[np.ndarray],
    n_groups: int,
    rng: np.random.Generator,
    *,
    growth: Sequence[np.ndarray] | None = None,
) -> GroupFit:
    """Learn groups that go through all snapshots.

    Cells of neighbouring snapshots are coupled by optimal transport; the chains are divided by a mixture of normal
    distributions, from several starts; from there the groups of each snapshot are fitted to all of its cells by
    expectation maximisation. The start with the highest likelihood is kept. Groups of neighbouring snapshots are one
    group if most chains say so, and are numbered by size.

    Groups that have not parted yet, or have met, are one cloud there: two groups whose centres are no farther apart
    than those of the halves of a single cloud get one mean and covariance at that time, and the cells there belong to
    them by their shares.

    Parameters
    ----------
    snapshots
        Points at each time, ``(n_t, n_latent)``.
    n_groups
        Number of groups.
    rng
        Source of randomness.
    growth
        Growth of each cell until the next snapshot, as for :func:`couple`.
    """
    rows = couple(snapshots, N_PATHS, rng, growth=growth)
    chains = np.concatenate([points[row] for points, row in zip(snapshots, rows, strict=True)], axis=1)
    size = min(_COMPONENTS, *chains.shape)
    flat = later("sklearn.decomposition").PCA(size, random_state=0).fit_transform(chains)
    found = []
    for _ in range(N_STARTS):
        seed = int(rng.integers(2**31))
        mixture = later("sklearn.mixture").GaussianMixture(n_groups, random_state=seed, reg_covar=1e-4)
        weights = mixture.fit(flat).predict_proba(flat)
        start = []
        for points, row in zip(snapshots, rows, strict=True):
            total = np.full((len(points), n_groups), 1e-2)  # a cell on no chain can belong to any group
            np.add.at(total, row, weights)
            start.append(total / total.sum(1, keepdims=True))
        found.append(refine_groups(snapshots, start))
    return _joined(_linked(max(found, key=lambda fit: fit.log_likelihood), rows), snapshots)
