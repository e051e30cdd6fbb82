import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.covariance import LedoitWolf

from scgauge.metrics import dependence, matrix_agreement


def points(n=60, p=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + 3


def test_equals_numpy_and_scipy():
    x = points()
    np.testing.assert_allclose(dependence(x), np.corrcoef(x.T), rtol=1e-10)
    np.testing.assert_allclose(dependence(x, kind="covariance"), np.cov(x.T), rtol=1e-10)
    ties = np.round(x)
    np.testing.assert_allclose(dependence(ties, kind="spearman"), stats.spearmanr(ties).statistic, rtol=1e-10)
    np.testing.assert_allclose(dependence(sparse.csr_matrix(ties)), np.corrcoef(ties.T), rtol=1e-10)


def test_partial_correlations_are_those_of_residuals():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 4)) @ (np.eye(4) + 0.4)  # hardly any shrinkage
    partial = dependence(x, kind="partial")
    others = np.column_stack([np.ones(len(x)), x[:, 2:]])
    residuals = x[:, :2] - others @ np.linalg.lstsq(others, x[:, :2], rcond=None)[0]
    assert partial[0, 1] == pytest.approx(np.corrcoef(residuals.T)[0, 1], abs=2e-3)


def test_shrinkage_is_that_of_scikit_learn():
    x = points(n=20, p=30)
    standard = (x - x.mean(0)) / x.std(0)
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(standard).covariance_)
    root = np.sqrt(np.diag(precision))
    expected = -precision / np.outer(root, root)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(dependence(x, kind="partial"), expected, rtol=1e-8)


def test_a_constant_variable_depends_on_nothing():
    x = points()
    x[:, 2] = 0.1
    for kind in ("pearson", "spearman", "partial"):
        row = dependence(x, kind=kind)[2]
        assert row[2] == 1
        np.testing.assert_array_equal(np.delete(row, 2), 0)


def test_agreement_by_hand():
    a, b = np.corrcoef(points(seed=0).T), np.corrcoef(points(seed=1).T)
    upper = np.triu_indices(6, 1)
    line = stats.linregress(a[upper], b[upper])
    result = matrix_agreement(a, b)
    assert (result.slope, result.pearson) == pytest.approx((line.slope, line.rvalue))
    assert result.rmse == pytest.approx(np.sqrt(np.mean((b - a)[upper] ** 2)))
    assert result.bias == pytest.approx((b - a)[upper].mean())
    assert result.relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
    a[0, 1] = a[1, 0] = np.nan
    assert matrix_agreement(a, b).n_pairs == 14


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: dependence(points(), kind="kendall"), r"kind='kendall' is unknown"),
        (lambda: dependence(points()[:1]), "`x` has one row"),
        (lambda: matrix_agreement(np.eye(3), np.eye(2)), r"found \(3, 3\) and \(2, 2\)"),
        (lambda: matrix_agreement(np.full((2, 2), np.nan), np.eye(2)), "no pair of variables"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
