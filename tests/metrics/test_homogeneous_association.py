import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import sparse

from scgauge.metrics import conditional_association, homogeneous_association

# Variables z, s1, s2, x, last index fastest; statsmodels and R loglm (eps 1e-9) agree on the difference.
COUNTS = [29, 2, 200, 16, 1, 1, 13, 6, 6, 16, 12, 26, 7, 220, 23, 422]
PARTIAL = 145.088348755024


def observations(counts, n_variables=4):
    columns = [np.repeat(index.ravel(), counts) for index in np.indices((2,) * n_variables)]
    return columns[-1][:, None], columns[0][:, None], np.column_stack(columns[1:-1])


def test_published_table():
    x, z, given = observations(COUNTS)
    found = homogeneous_association(x, z, given=given)
    np.testing.assert_allclose(found.g2, PARTIAL, rtol=1e-7)
    np.testing.assert_array_equal(found.df, 1)
    np.testing.assert_allclose(found.cmi, PARTIAL / (2 * sum(COUNTS)), rtol=1e-7)


def poisson_difference(x, z, given):
    """Difference of deviances of two Poisson models of the table, by statsmodels."""
    variables = np.column_stack([z, given, x])
    n = variables.shape[1]
    cells = np.stack(np.indices((2,) * n), -1).reshape(-1, n)
    counts = [(variables == cell).all(1).sum() for cell in cells]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    deviances = []
    for kept in (pairs, [pair for pair in pairs if pair != (0, n - 1)]):
        design = np.column_stack([np.ones(len(cells)), cells, *[cells[:, i] * cells[:, j] for i, j in kept]])
        if design.shape[1] == len(cells):  # saturated: the fit is the table
            deviances.append(0.0)
            continue
        deviances.append(sm.GLM(counts, design, family=sm.families.Poisson()).fit(tol=1e-12).deviance)
    return deviances[1] - deviances[0]


@pytest.mark.parametrize("n_given", [0, 1, 3])
def test_many_pairs_equal_poisson_regression(n_given):
    rng = np.random.default_rng(n_given)
    z = rng.random((600, 2)) < 0.4
    given = (rng.random((600, n_given)) + 0.3 * z[:, :1]) > 0.6
    x = (rng.random((600, 3)) + 0.2 * z[:, [0]] + 0.1 * given.sum(1, keepdims=True)) > 0.7
    found = homogeneous_association(sparse.csr_matrix(x.astype(float)), z, given=given)
    for i in range(3):
        for j in range(2):
            expected = poisson_difference(x[:, [i]], z[:, [j]], given)
            np.testing.assert_allclose(found.g2[i, j], expected, rtol=1e-5, atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    x, z, given = (rng.integers(0, 2, (200, k)) for k in (7, 2, 2))
    whole = homogeneous_association(x, z, given=given)
    monkeypatch.setattr("scgauge.metrics._homogeneous_association._ENTRIES_AT_ONCE", 32)
    np.testing.assert_allclose(homogeneous_association(x, z, given=given).g2, whole.g2, rtol=1e-6, atol=1e-7)


def test_an_association_that_turns_is_seen_by_the_conditional_test_alone():
    given = np.repeat([0, 1], 400)
    z = np.tile([0, 1], 400)
    x = np.where(given == 1, z, 1 - z) ^ (np.random.default_rng(0).random(800) < 0.1)
    assert conditional_association(x[:, None], z[:, None], strata=given).g2[0, 0] > 300
    assert homogeneous_association(x[:, None], z[:, None], given=given[:, None]).g2[0, 0] < 10


def test_constant_variables_have_no_association():
    found = homogeneous_association(np.zeros((10, 1)), np.eye(10)[:, :2])
    np.testing.assert_array_equal(found.g2, 0)
    np.testing.assert_array_equal(found.df, 0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"x": np.full((4, 1), 2)}, "`x` must hold only 0 and 1"),
        ({"given": np.zeros((3, 1))}, "rows must agree"),
        ({"given": np.zeros((4, 13))}, "13 variables are given"),
    ],
)
def test_bad_input(arguments, match):
    data = {"x": np.eye(4), "z": np.eye(4), "given": None} | arguments
    with pytest.raises(ValueError, match=match):
        homogeneous_association(data["x"], data["z"], given=data["given"])


def test_empty_cells_are_fitted_as_far_as_needed():
    rng = np.random.default_rng(3)
    z, given = rng.integers(0, 2, (30, 1)), rng.integers(0, 2, (30, 2))
    x = (z + given[:, :1] > 1).astype(int)  # never 1 without z: the fit is on the edge
    found = homogeneous_association(x, z, given=given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels warns of perfect separation
        expected = poisson_difference(x, z, given)
    np.testing.assert_allclose(found.g2[0, 0], expected, atol=0.05)


def test_fitting_that_does_not_end_is_an_error(monkeypatch):
    monkeypatch.setattr("scgauge.metrics._homogeneous_association._MOST_ROUNDS", 1)
    x, z, given = observations(COUNTS)
    with pytest.raises(RuntimeError, match="has not converged after 1 rounds"):
        homogeneous_association(x, z, given=given)
