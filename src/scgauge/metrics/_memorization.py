from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats
from sklearn.cluster import KMeans

from scgauge._core.rng import RNG, generator
from scgauge.metrics._neighbors import nearest
from scgauge.metrics._points import Points, as_points

#: Distances within this share of each other are ties.
_TIE = 1e-9
#: Points of a sample in a cell of the partition below which the cell says nothing.
_FEWEST_IN_CELL = 5


@dataclass(frozen=True)
class Memorization:
    r"""Whether synthetic points are copies of training points; see :func:`memorization`.

    Attributes
    ----------
    train_share
        Share of synthetic points whose nearest real point is a training point.
    train_share_expected
        Its expectation without memorisation, the share of training points among the real ones.
    train_share_z, train_share_pvalue
        ``train_share`` in standard deviations of random labels of the real points, and the one-sided p-value.
    dcr_share
        Share of synthetic points closer to training points than to as many held-out points; 0.5 without memorisation.
    dcr_share_se
        Its bootstrap standard error.
    authenticity
        Share of synthetic points that are farther from their nearest training point than that is from its own nearest.
    authenticity_holdout
        The same for held-out points in place of synthetic ones: the value without memorisation.
    nnaa_train, nnaa_holdout
        Nearest-neighbour adversarial accuracy of synthetic against training and against held-out points; 0.5 if alike.
    privacy_loss
        ``nnaa_holdout - nnaa_train``, positive where synthetic points are closer to training points.
    copying_z
        Data-copying statistic; far below 0 where synthetic points are closer to training points than held-out ones
        are.
    """

    train_share: float
    train_share_expected: float
    train_share_z: float
    train_share_pvalue: float
    dcr_share: float
    dcr_share_se: float
    authenticity: float
    authenticity_holdout: float
    nnaa_train: float
    nnaa_holdout: float
    privacy_loss: float
    copying_z: float


def memorization(
    x: Points,
    y: Points,
    *,
    holdout: Points,
    n_bootstrap: int = 200,
    n_clusters: int = 5,
    rng: RNG = None,
) -> Memorization:
    r"""Ask whether synthetic points are copies of the training points, by nearest neighbours.

    Without memorisation a synthetic point has no reason to be closer to the training points than to other points of the
    same law. Several statistics say so:

    * *Training share.* Among all real points, training and held out, how many synthetic points have a training point
      nearest? The null is that labels of the real points are exchangeable: the expected share is
      :math:`n_\text{train}/n_\text{real}`, and the variance that of a sum drawn without replacement, which takes
      account of real points that are nearest to many. It uses every point and needs no equal sizes.
    * *Distance to the closest record.* The same with equal sizes: training points are thinned to the number of held-out
      points and ties count one half, so that 0.5 is expected. The bootstrap draws real points anew, not synthetic ones.
    * *Authenticity* :cite:p:`Alaa22`: :math:`d(y_j, x_{i(j)}) > d(x_{i(j)}, x \setminus x_{i(j)})` with
      :math:`x_{i(j)}` the training point nearest to :math:`y_j`. Without memorisation it is not 0.5 but what held-out
      points have.
    * *Nearest-neighbour adversarial accuracy* :cite:p:`Yale20`:
      :math:`\tfrac12 [P(d_{TS} > d_{TT}) + P(d_{ST} > d_{SS})]` in samples of one size.
    * *Data copying* :cite:p:`Meehan20`: Mann-Whitney z of distances to the training points, synthetic against held-out
      points, within each cluster of training points and weighted by held-out points. Synthetic points that are merely
      too typical lie close to all real points and lower it as well; the training share does not mistake them.

    Parameters
    ----------
    x
        Training points, ``(n, p)``.
    y
        Synthetic points, ``(m, p)``.
    holdout
        Real points that the model has not seen, ``(h, p)``.
    n_bootstrap
        Number of bootstrap draws.
    n_clusters
        Number of k-means clusters for the data-copying statistic.
    rng
        Seed or Generator.

    Returns
    -------
    Frozen dataclass of numbers.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, has fewer than three points or values that are not finite; if the numbers of columns
        differ; if ``n_bootstrap`` or ``n_clusters`` is less than 2 or 1.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> rng = np.random.default_rng(0)
    >>> train, holdout, fresh = rng.normal(size=(3, 200, 5))
    >>> copies = scgauge.metrics.memorization(train, train[::2] + 0.001, holdout=holdout, rng=0)
    >>> copies.train_share, copies.authenticity
    (1.0, 0.0)
    >>> abs(scgauge.metrics.memorization(train, fresh, holdout=holdout, rng=0).train_share_z) < 3
    True
    """
    train, synthetic, unseen = _samples(x, y, holdout)
    for name, number, least in (("n_bootstrap", n_bootstrap, 2), ("n_clusters", n_clusters, 1)):
        if number < least:
            message = f"{name}={number} was given; at least {least} is needed."
            raise ValueError(message)
    rng = generator(rng)
    share, expected, z = _train_share(train, synthetic, unseen, rng)
    dcr, dcr_se = _dcr_share(train, synthetic, unseen, n_bootstrap, rng)
    to_train, found = (part[:, 0] for part in nearest(synthetic, train))
    unseen_to_train, unseen_found = (part[:, 0] for part in nearest(unseen, train))
    spacing = nearest(train)[0][:, 0]
    nnaa_train, nnaa_holdout = _nnaa(train, synthetic, rng), _nnaa(unseen, synthetic, rng)
    return Memorization(
        train_share=share,
        train_share_expected=expected,
        train_share_z=z,
        train_share_pvalue=float(stats.norm.sf(z)),
        dcr_share=dcr,
        dcr_share_se=dcr_se,
        authenticity=float((to_train > spacing[found] * (1 + _TIE)).mean()),
        authenticity_holdout=float((unseen_to_train > spacing[unseen_found] * (1 + _TIE)).mean()),
        nnaa_train=nnaa_train,
        nnaa_holdout=nnaa_holdout,
        privacy_loss=nnaa_holdout - nnaa_train,
        copying_z=_copying(train, (synthetic, to_train), (unseen, unseen_to_train), n_clusters, rng),
    )


def _samples(x: Points, y: Points, holdout: Points) -> list[np.ndarray]:
    samples = []
    for sample, name in ((x, "x"), (y, "y"), (holdout, "holdout")):
        points = as_points(sample, name=name)
        if points.shape[0] < 3:
            message = f"`{name}` has {points.shape[0]} points; at least 3 are needed."
            raise ValueError(message)
        samples.append(np.asarray(points.toarray() if sparse.issparse(points) else points, dtype=np.float64))
    columns = {sample.shape[1] for sample in samples}
    if len(columns) > 1:
        message = f"`x`, `y` and `holdout` need the same variables; found {[s.shape[1] for s in samples]} columns."
        raise ValueError(message)
    return samples


def _train_share(
    train: np.ndarray, synthetic: np.ndarray, unseen: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Share of synthetic points nearest to training points, its expectation, and z under exchangeable labels."""
    real = np.concatenate([train, unseen])
    order = rng.permutation(len(real))  # ties between real points go to the first, which is random then
    is_train = (np.arange(len(real)) < len(train))[order]
    _, found = nearest(synthetic, real[order])
    hits = np.bincount(found[:, 0], minlength=len(real))
    expected = len(train) / len(real)
    variance = len(real) * hits.var(ddof=1) * expected * (1 - expected)
    excess = float(hits[is_train].sum() - expected * len(synthetic))
    z = float(excess / np.sqrt(variance)) if variance > 0 else 0.0
    return float(hits[is_train].sum() / len(synthetic)), expected, z


def _dcr_share(
    train: np.ndarray, synthetic: np.ndarray, unseen: np.ndarray, n_bootstrap: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Share closer to the training points than to as many held-out points, with its bootstrap standard error."""
    n = min(len(train), len(unseen))
    train = train[rng.permutation(len(train))[:n]]
    unseen = unseen[rng.permutation(len(unseen))[:n]]
    # The nearest points that a bootstrap sample holds are among the first few: (1 - 1/n)^n of them are missing each.
    k = min(n, 12)
    distances, rows = zip(
        nearest(synthetic, train, n_neighbors=k), nearest(synthetic, unseen, n_neighbors=k), strict=True
    )

    def share(first: np.ndarray, second: np.ndarray) -> float:
        tied = np.abs(first - second) <= _TIE * np.maximum(first, second)
        return float(((first < second) & ~tied).mean() + tied.mean() / 2)

    draws = []
    for _ in range(n_bootstrap):
        closest = []
        for part in range(2):
            drawn = np.zeros(n, dtype=bool)
            drawn[rng.integers(n, size=n)] = True
            held = drawn[rows[part]]
            held[:, -1] = True
            closest.append(np.take_along_axis(distances[part], held.argmax(axis=1)[:, None], axis=1)[:, 0])
        draws.append(share(*closest))
    return share(distances[0][:, 0], distances[1][:, 0]), float(np.std(draws, ddof=1))


def _nnaa(real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator) -> float:
    """Nearest-neighbour adversarial accuracy of two samples, the larger thinned to the size of the smaller."""
    n = min(len(real), len(synthetic))
    real, synthetic = real[rng.permutation(len(real))[:n]], synthetic[rng.permutation(len(synthetic))[:n]]
    sides = []
    for own, other in ((real, synthetic), (synthetic, real)):
        across, within = nearest(own, other)[0][:, 0], nearest(own)[0][:, 0]
        tied = np.abs(across - within) <= _TIE * np.maximum(across, within)
        sides.append(((across > within) & ~tied).mean() + tied.mean() / 2)
    return float(np.mean(sides))


def _copying(
    train: np.ndarray,
    synthetic: tuple[np.ndarray, np.ndarray],
    unseen: tuple[np.ndarray, np.ndarray],
    n_clusters: int,
    rng: np.random.Generator,
) -> float:
    """Mann-Whitney z of distances to the training points, averaged over clusters with the shares of held-out points."""
    n_clusters = min(n_clusters, len(train))
    clusters = KMeans(n_clusters, n_init=3, random_state=int(rng.integers(2**31))).fit(train)
    of_synthetic, of_unseen = clusters.predict(synthetic[0]), clusters.predict(unseen[0])
    total, weight = 0.0, 0.0
    for cluster in range(n_clusters):
        theirs, ours = synthetic[1][of_synthetic == cluster], unseen[1][of_unseen == cluster]
        if min(len(theirs), len(ours)) < _FEWEST_IN_CELL:
            continue
        total += len(ours) * _mann_whitney(theirs, ours)
        weight += len(ours)
    return total / weight if weight else float("nan")


def _mann_whitney(a: np.ndarray, b: np.ndarray) -> float:
    """Standardised Mann-Whitney statistic with its correction for ties; negative where `a` is smaller."""
    n, m = len(a), len(b)
    ranks = stats.rankdata(np.concatenate([a, b]))
    u = ranks[:n].sum() - n * (n + 1) / 2
    _, ties = np.unique(ranks, return_counts=True)
    size = n + m
    variance = n * m / 12 * (size + 1 - (ties**3 - ties).sum() / (size * (size - 1)))
    return float((u - n * m / 2) / np.sqrt(variance)) if variance > 0 else 0.0
