import dcor
import numpy as np
import pytest
import scipy.stats
import torch
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import scgauge

energy_distance = scgauge.metrics.energy_distance


def fixture_points():
    """Points given by a formula, so that other programs can be run on the same numbers."""
    i, j = np.arange(1, 41)[:, None], np.arange(1, 6)[None, :]
    x = np.sin(0.7 * i * j + j**2) + 0.8 * (j % 2) * (i > 20)
    k = np.arange(1, 31)[:, None]
    return x, np.cos(0.9 * k * j - j) + 0.05 * j


def test_numbers_of_other_programs():
    x, y = fixture_points()
    # dcor 0.7, both estimators, 16 digits.
    np.testing.assert_allclose(energy_distance(x, y, estimator="v"), 0.3413429384137743, rtol=1e-12)
    np.testing.assert_allclose(energy_distance(x, y, estimator="u"), 0.21398934856473062, rtol=1e-12)
    # mn/(m+n) times the V form: eqdist.e of the R package energy 1.7-11; half of it is T of the R package cramer 0.9-4.
    statistic = 40 * 30 / 70 * energy_distance(x, y, estimator="v")
    np.testing.assert_allclose(statistic, 5.85159322995051, rtol=1e-12)
    np.testing.assert_allclose(statistic / 2, 2.92579661497522, rtol=1e-12)


def test_example_of_the_dcor_documentation():
    a = np.arange(1.0, 17).reshape(4, 4)
    b = np.array([[1.0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_allclose(energy_distance(a, b, estimator="v"), 20.578059415636496, rtol=1e-12)


@pytest.mark.parametrize("estimator", ["u", "v"])
@pytest.mark.parametrize(("n", "m", "p"), [(60, 60, 3), (7, 90, 20), (2, 2, 1)])
def test_equals_dcor(estimator, n, m, p):
    rng = np.random.default_rng(n + m + p)
    x, y = rng.normal(size=(n, p)), rng.normal(size=(m, p)) * 1.5 + 0.3
    expected = dcor.energy_distance(x, y, estimation_stat=estimator)
    # Differences of means of float64 distances: absolute rounding near 1e-15, far below any of these distances.
    np.testing.assert_allclose(energy_distance(x, y, estimator=estimator), expected, rtol=1e-9, atol=1e-13)


def test_one_dimension_equals_the_square_of_scipy():
    x, y = fixture_points()
    expected = scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    np.testing.assert_allclose(energy_distance(x[:, :1], y[:, :1], estimator="v"), expected, rtol=1e-10)


def test_more_points_than_a_block(monkeypatch):
    x, y = fixture_points()
    whole = energy_distance(x, y)
    monkeypatch.setattr("scgauge.metrics._distances.rows_per_block", lambda p: 7)
    np.testing.assert_allclose(energy_distance(x, y), whole, rtol=1e-12)  # sums in another order


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(sparse.csr_matrix, id="csr_matrix"),
        pytest.param(sparse.csr_array, id="csr_array"),
        pytest.param(sparse.csc_matrix, id="csc_matrix"),
        pytest.param(torch.as_tensor, id="torch"),
        pytest.param(lambda x: torch.as_tensor(x, dtype=torch.float64).requires_grad_(), id="torch-with-gradient"),
        pytest.param(lambda x: torch.as_tensor(x).to(torch.bfloat16), id="bfloat16"),
        pytest.param(lambda x: x.astype(np.float32), id="float32"),
        pytest.param(np.asfortranarray, id="fortran-order"),
    ],
)
def test_kinds_of_input(kind):
    rng = np.random.default_rng(0)
    x, y = rng.poisson(0.8, (50, 9)), rng.poisson(1.2, (30, 9))
    np.testing.assert_allclose(energy_distance(kind(x), kind(y)), energy_distance(x, y), rtol=1e-12)


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50), scale=st.floats(0.1, 10), estimator=st.sampled_from("uv"))
def test_invariances(seed, shift, scale, estimator):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(9, 4)) + 1
    value = energy_distance(x, y, estimator=estimator)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    # Rounding only: the data are of order 1 to 500.
    close = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(energy_distance(y, x, estimator=estimator), value, **close)
    np.testing.assert_allclose(
        energy_distance(rng.permutation(x), rng.permutation(y), estimator=estimator), value, **close
    )
    np.testing.assert_allclose(
        energy_distance((x + shift) @ rotation, (y + shift) @ rotation, estimator=estimator), value, **close
    )
    np.testing.assert_allclose(energy_distance(scale * x, scale * y, estimator=estimator), scale * value, **close)
    if estimator == "v":
        assert value >= 0


def test_the_same_sample_is_at_distance_zero():
    x, _ = fixture_points()
    np.testing.assert_allclose(energy_distance(x, x, estimator="v"), 0, atol=1e-14)  # rounding of values near 2


def test_the_u_form_is_unbiased_and_the_v_form_biased_upward():
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=(8, 2)), rng.normal(size=(8, 2))) for _ in range(300)]
    u = np.array([energy_distance(x, y, estimator="u") for x, y in draws])
    v = np.array([energy_distance(x, y, estimator="v") for x, y in draws])
    error = u.std() / np.sqrt(len(u))
    assert abs(u.mean()) < 5 * error
    # The bias is E|X-X'| (1/n + 1/m); for the normal in the plane E|X-X'| = sqrt(pi).
    assert abs(v.mean() - np.sqrt(np.pi) / 4) < 5 * error


def test_sees_a_difference_in_spread_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    assert energy_distance(x, 1.5 * rng.normal(size=(300, 5))) > 20 * abs(energy_distance(x, rng.normal(size=(300, 5))))


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        pytest.param(np.ones(5), ValueError, r"needs the shape \(n, p\); found \(5,\).*reshape", id="one-dimensional"),
        pytest.param(np.ones((2, 2, 2)), ValueError, r"found \(2, 2, 2\)", id="three-dimensional"),
        pytest.param(np.ones((0, 2)), ValueError, r"has the shape \(0, 2\); at least one row", id="empty"),
        pytest.param(np.array([[1.0, np.nan], [0, 1]]), ValueError, "has 1 values that are NaN or infinite", id="nan"),
        pytest.param(
            sparse.csr_matrix([[1.0, np.inf], [0, 1]]), ValueError, "has 1 values that are NaN or inf", id="inf"
        ),
        pytest.param(np.array([["a", "b"]]), TypeError, "has the dtype <U1; real numbers", id="text"),
        pytest.param(np.ones((3, 2), dtype=complex), TypeError, "dtype complex128", id="complex"),
        pytest.param(AnnData(np.ones((3, 2), dtype="f4")), TypeError, "is an AnnData; pass a matrix", id="anndata"),
        pytest.param(torch.eye(2).to_sparse(), TypeError, "is a sparse tensor", id="sparse-tensor"),
        pytest.param(np.ones((4, 3)), ValueError, "`x` has 3 columns and `y` has 2", id="columns"),
        pytest.param(np.ones((1, 2)), ValueError, "needs two points in each sample; found 1 and 4", id="one-point"),
    ],
)
def test_bad_input(x, error, match):
    with pytest.raises(error, match=match):
        energy_distance(x, np.zeros((4, 2)))


def test_unknown_estimator():
    with pytest.raises(ValueError, match=r"estimator='w' is unknown; use one of \['u', 'v'\]"):
        energy_distance(np.ones((2, 2)), np.ones((2, 2)), estimator="w")
