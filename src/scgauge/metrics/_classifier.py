from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy import sparse
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from scgauge._core.optional import later
from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._points import Points, as_points

if TYPE_CHECKING:
    from collections.abc import Callable

Classifier = Literal["logistic", "boosting"]


@dataclass(frozen=True)
class ClassifierTest:
    """How well a classifier tells two samples apart; see :func:`classifier_two_sample`.

    Attributes
    ----------
    auc
        Area under the ROC curve of scores out of fold, mean over folds: 0.5 if it cannot, 1 if it always can.
    se
        Standard error of ``auc``.
    pvalue
        One-sided normal p-value of ``auc`` above 0.5.
    weights
        Standardised coefficients averaged over folds, ``(p,)``, positive where `y` is higher; NaN for trees.
    """

    auc: float
    se: float
    pvalue: float
    weights: np.ndarray

    __repr__ = short_repr


def _auc(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve and its standard error from placement values (DeLong)."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    n1, n0 = len(positive), len(negative)
    overall = rankdata(np.concatenate([positive, negative]))
    above = (overall[:n1] - rankdata(positive)) / n0
    below = 1 - (overall[n1:] - rankdata(negative)) / n1
    return float(above.mean()), float(np.sqrt(above.var(ddof=1) / n1 + below.var(ddof=1) / n0))


def _builder(classifier: str) -> Callable[[int], Any]:
    if classifier == "logistic":
        make_pipeline = later("sklearn.pipeline").make_pipeline
        return lambda _: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    boosting = later("sklearn.ensemble").HistGradientBoostingClassifier
    return lambda seed: boosting(max_iter=40, max_leaf_nodes=8, early_stopping=False, random_state=seed)


def classifier_two_sample(
    x: Points, y: Points, *, classifier: Classifier = "logistic", n_folds: int = 5, rng: RNG = None
) -> ClassifierTest:
    """Train a classifier to tell two samples apart and score it out of fold.

    A two-sample test in the sense of :cite:t:`LopezPaz17`. ``"logistic"`` is a ridge-penalised logistic regression of
    standardised variables and sees differences of means; its weights name the variables. ``"boosting"`` is gradient
    boosting of trees and sees differences of spread and dependence as well. The standard error is that of
    :cite:t:`DeLong88`; it treats folds as independent.

    Parameters
    ----------
    x
        First sample, ``(n, p)``; made dense.
    y
        Second sample, ``(m, p)``.
    classifier
        ``"logistic"`` or ``"boosting"``.
    n_folds
        Number of folds; every fold has its share of both samples.
    rng
        Seed or Generator of the folds.

    Returns
    -------
    Frozen dataclass: ``auc``, ``se``, ``pvalue``, ``weights``.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or not finite; if the numbers of columns differ; if a sample has fewer than two
        points for each fold; if ``classifier`` is unknown or there are fewer than two folds.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> result = scgauge.metrics.classifier_two_sample(x, x + [0, 0, 4], rng=0)
    >>> result.auc > 0.95, int(np.abs(result.weights).argmax())
    (True, 2)
    """
    if classifier not in get_args(Classifier):
        message = f"classifier={classifier!r} is unknown; use one of {list(get_args(Classifier))}."
        raise ValueError(message)
    first, second = as_points(x, name="x"), as_points(y, name="y")
    if first.shape[1] != second.shape[1]:
        message = (
            f"`x` has {first.shape[1]} columns and `y` has {second.shape[1]}; both samples need the same variables."
        )
        raise ValueError(message)
    smallest = min(first.shape[0], second.shape[0])
    if not 2 <= n_folds <= smallest // 2:
        message = f"n_folds={n_folds} needs to be from 2 to {smallest // 2}, half the size of the smaller sample."
        raise ValueError(message)
    points = np.concatenate(
        [np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=float) for part in (first, second)]
    )
    labels = np.repeat([0, 1], [first.shape[0], second.shape[0]])
    build = _builder(classifier)
    seed = int(generator(rng).integers(2**31))
    folds, weights = [], np.zeros(points.shape[1])
    for train, test in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(points, labels):
        fitted = build(seed).fit(points[train], labels[train])
        # Scores of different folds are of different models: each fold is ranked on its own.
        folds.append(_auc(labels[test], fitted.predict_proba(points[test])[:, 1]))
        if classifier == "logistic":
            weights += fitted[-1].coef_[0] / n_folds
    auc, se = float(np.mean([fold[0] for fold in folds])), float(np.linalg.norm([fold[1] for fold in folds]) / n_folds)
    # A perfect separation has no spread: its p-value is 0 to any precision.
    pvalue = float(norm.sf((auc - 0.5) / se)) if se > 0 else float(auc <= 0.5)
    return ClassifierTest(auc, se, pvalue, weights if classifier == "logistic" else np.full(points.shape[1], np.nan))
