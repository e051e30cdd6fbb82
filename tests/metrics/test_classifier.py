import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from scgauge.metrics import classifier_two_sample
from scgauge.metrics._classifier import _auc


def test_auc_is_that_of_scikit_learn_and_its_error_the_spread():
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(300):
        labels = np.repeat([0, 1], [40, 60])
        scores = np.round(rng.normal(labels * 0.8, 1), 1)  # with ties
        auc, se = _auc(labels, scores)
        assert auc == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
        values.append(auc)
        errors.append(se)
    assert 0.9 < np.std(values, ddof=1) / np.mean(errors) < 1.1


@pytest.mark.parametrize("classifier", ["logistic", "boosting"])
def test_no_difference_gives_one_half(classifier):
    rng = np.random.default_rng(1)
    results = [
        classifier_two_sample(*rng.normal(size=(2, 80, 4)), classifier=classifier, rng=seed) for seed in range(15)
    ]
    auc = np.array([result.auc for result in results])
    assert abs(auc.mean() - 0.5) < 4 * auc.std(ddof=1) / np.sqrt(15)
    assert 0.6 < auc.std(ddof=1) / np.mean([result.se for result in results]) < 1.6


def test_the_best_possible_auc_is_reached_but_not_passed():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2000, 2)), rng.normal([1, 0], 1, (2000, 2))
    result = classifier_two_sample(x, y, rng=0)
    assert abs(result.auc - stats.norm.cdf(1 / np.sqrt(2))) < 4 * result.se
    assert result.pvalue < 1e-10


def test_only_trees_see_a_difference_of_spread():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(300, 3)), 2 * rng.normal(size=(300, 3))
    assert abs(classifier_two_sample(x, y, rng=0).auc - 0.5) < 0.1
    assert classifier_two_sample(x, y, classifier="boosting", rng=0).auc > 0.7


def test_weights_point_at_the_variable_with_its_sign():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(200, 5)) - [0, 0, 2, 0, 0]
    weights = classifier_two_sample(x, y, rng=0).weights
    assert np.abs(weights).argmax() == 2
    assert weights[2] < 0
    assert np.isnan(classifier_two_sample(x, y, classifier="boosting", rng=0).weights).all()


def test_perfect_separation():
    x = np.arange(20.0)[:, None]
    result = classifier_two_sample(x, x + 100, rng=0)
    assert (result.auc, result.se, result.pvalue) == (1, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"classifier": "forest"}, r"classifier='forest' is unknown"),
        ({"n_folds": 1}, "n_folds=1 needs to be from 2 to 5"),
        ({"n_folds": 6}, "n_folds=6 needs to be from 2 to 5"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(ValueError, match=match):
        classifier_two_sample(np.ones((10, 2)), np.zeros((12, 2)), **arguments)
    with pytest.raises(ValueError, match="`x` has 2 columns and `y` has 3"):
        classifier_two_sample(np.ones((10, 2)), np.zeros((12, 3)))
