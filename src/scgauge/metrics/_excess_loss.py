from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from scgauge._core.optional import later
from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._label_shift import pair_of_labels
from scgauge.metrics._points import Points, as_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Bounds of the estimated probability to be of a sample.
_PROBABILITY = 1e-3


@dataclass(frozen=True)
class ExcessLoss:
    r"""How much worse labels of one sample are predicted in another than its points explain; see :func:`excess_loss`.

    Attributes
    ----------
    excess
        Excess loss, augmented estimate: 0 in expectation if labels depend on points as in the first sample.
    se
        Its standard error.
    pvalue
        Two-sided normal p-value of ``excess``.
    loss_x
        Mean loss in the first sample, out of fold.
    weighted_loss_x
        The same with importance weights: the loss to expect in the second sample.
    loss_y
        Mean loss in the second sample.
    effective_size
        Number of points of the first sample that the weights leave, :math:`(\sum w)^2 / \sum w^2`.
    overlap
        Estimated overlap of the two samples, :math:`\mathrm{E}_X \min(1, w) = 1 - \mathrm{TV}`, from 0 to 1.
    n_used_y
        Points of the second sample whose label occurs in the first.
    weights
        Importance weights of the first sample, ``(n,)``.
    """

    excess: float
    se: float
    pvalue: float
    loss_x: float
    weighted_loss_x: float
    loss_y: float
    effective_size: float
    overlap: float
    n_used_y: int
    weights: np.ndarray

    __repr__ = short_repr


def _classifier() -> Any:
    return later("sklearn.pipeline").make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))


def _predict(fitted: Any, points: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities of all classes, 0 for those that the classifier has not seen."""
    probabilities = np.zeros((len(points), n_classes))
    if len(points):
        probabilities[:, fitted.classes_] = fitted.predict_proba(points)
    return probabilities


def _folds(codes: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each point; every class in all folds as far as it goes."""
    fold = np.empty(len(codes), dtype=int)
    split = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(split.split(codes, codes)):
        fold[test] = number
    return fold


def excess_loss(
    x: Points, y: Points, *, x_labels: ArrayLike, y_labels: ArrayLike, n_folds: int = 5, rng: RNG = None
) -> ExcessLoss:
    r"""Test whether labels depend on points in a second sample as they do in a first (concept shift).

    A classifier :math:`f` learns the labels of the first sample. Its quadratic loss :math:`\ell` in the second may be
    larger because the points lie elsewhere, where labels are harder; the importance weights :math:`w(x) = p_Y(x) /
    p_X(x)` of a domain classifier correct for that :cite:p:`Sugiyama07`. What is left is the excess

    .. math::

        \Delta = \overline{\ell_j - h(y_j)}^{\,Y} - \frac{\sum_i w_i (\ell_i - h(x_i))}{\sum_i w_i} ,

    where :math:`h(x) = 1 - \sum_k f_k(x)^2` is the loss that :math:`f` itself expects. Taking it off leaves the mean
    alone if :math:`f` is calibrated and makes an error in either :math:`f` or :math:`w` matter only where the other
    errs, too. Both classifiers are logistic regressions, fitted without the fold that they predict.

    Parameters
    ----------
    x
        First sample, ``(n, p)``; made dense.
    y
        Second sample, ``(m, p)``.
    x_labels
        Labels of the first sample, ``(n,)``.
    y_labels
        Labels of the second sample, ``(m,)``. Points with a label that the first sample lacks are left out.
    n_folds
        Number of folds.
    rng
        Seed or Generator of the folds.

    Returns
    -------
    Frozen dataclass: ``excess``, ``se``, ``pvalue``, ``loss_x``, ``weighted_loss_x``, ``loss_y``,
    ``effective_size``, ``overlap``, ``n_used_y``, ``weights``. Where the overlap is near 0 nothing can be compared:
    the excess is an extrapolation.

    Raises
    ------
    TypeError
        If a sample is not numeric.
    ValueError
        If samples and labels do not fit together; if the first sample has one label only or one with fewer points
        than folds; if fewer than two points for each fold are left of the second.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> labels = x[:, 0] > 0
    >>> result = scgauge.metrics.excess_loss(x, x + [0.5, 0], x_labels=labels, y_labels=labels, rng=0)
    >>> bool(result.excess > 0.1), bool(result.pvalue < 0.001)
    (True, True)
    """
    first, second = (_dense(points, name) for points, name in ((x, "x"), (y, "y")))
    codes_x, codes_y, names = pair_of_labels(x_labels, y_labels)
    _check(first, second, codes_x, codes_y, n_folds)
    known = np.isin(codes_y, codes_x)
    second, codes_y = second[known], codes_y[known]
    smallest = int(np.bincount(codes_x)[np.unique(codes_x)].min())
    if len(np.unique(codes_x)) < 2 or smallest < n_folds or len(second) < 2 * n_folds:
        message = (
            f"The first sample needs two labels with {n_folds} points each, the second {2 * n_folds} points with these "
            f"labels; found {len(np.unique(codes_x))} labels, the smallest with {smallest} points, and {len(second)} "
            "points. Leave out rare labels."
        )
        raise ValueError(message)
    seeds = generator(rng).integers(2**31, size=2)
    # Folds of both samples keep the shares of labels.
    fold_x = _folds(codes_x, n_folds, int(seeds[0]))
    fold_y = np.random.default_rng(int(seeds[1])).permutation(np.arange(len(second)) % n_folds)
    odds = np.empty(len(first))
    losses, expected = [np.empty(len(first)), np.empty(len(second))], [np.empty(len(first)), np.empty(len(second))]
    for fold in range(n_folds):
        train_x, train_y = fold_x != fold, fold_y != fold
        pooled = np.concatenate([first[train_x], second[train_y]])
        domain = _classifier().fit(pooled, np.repeat([0, 1], [train_x.sum(), train_y.sum()]))
        share = domain.predict_proba(first[~train_x])[:, 1].clip(_PROBABILITY, 1 - _PROBABILITY)
        odds[~train_x] = share / (1 - share)
        labels = _classifier().fit(first[train_x], codes_x[train_x])
        for part, points, codes, inside in ((0, first, codes_x, ~train_x), (1, second, codes_y, ~train_y)):
            probability = _predict(labels, points[inside], len(names))
            squares = (probability**2).sum(axis=1)
            losses[part][inside] = 1 + squares - 2 * probability[np.arange(len(squares)), codes[inside]]
            expected[part][inside] = 1 - squares
    weights = odds / odds.mean()
    residual_x, residual_y = losses[0] - expected[0], losses[1] - expected[1]
    base = float(np.average(residual_x, weights=weights))
    variance_x = float((weights**2 * (residual_x - base) ** 2).sum() / weights.sum() ** 2)
    excess = float(residual_y.mean()) - base
    se = float(np.sqrt(variance_x + residual_y.var(ddof=1) / len(second)))
    return ExcessLoss(
        excess=excess,
        se=se,
        pvalue=float(2 * norm.sf(abs(excess) / se)) if se > 0 else float(excess == 0),
        loss_x=float(losses[0].mean()),
        weighted_loss_x=float(np.average(losses[0], weights=weights)),
        loss_y=float(losses[1].mean()),
        effective_size=float(weights.sum() ** 2 / (weights**2).sum()),
        overlap=float(np.minimum(1, odds * len(first) / len(second)).mean()),
        n_used_y=len(second),
        weights=weights,
    )


def _dense(points: Points, name: str) -> np.ndarray:
    checked = as_points(points, name=name)
    return np.asarray(checked.toarray() if sparse.issparse(checked) else checked, dtype=np.float64)


def _check(first: np.ndarray, second: np.ndarray, codes_x: np.ndarray, codes_y: np.ndarray, n_folds: int) -> None:
    if first.shape[1] != second.shape[1]:
        message = f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both need the same variables."
        raise ValueError(message)
    for name, points, codes in (("x", first, codes_x), ("y", second, codes_y)):
        if len(points) != len(codes):
            message = f"`{name}` has {len(points)} rows and {len(codes)} labels; one label for each is needed."
            raise ValueError(message)
    if n_folds < 2:
        message = f"n_folds={n_folds} was given; at least 2 is needed."
        raise ValueError(message)
