import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scgauge._core.counts import recover_counts

pytestmark = pytest.mark.quick


def _counts(seed: int = 0, shape: tuple[int, int] = (60, 40)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 3, shape))
    counts[:, 0] = 1  # each cell has a gene seen once
    return counts.astype(float)


def _normalised(counts: np.ndarray, *, logged: bool) -> np.ndarray:
    values = counts / counts.sum(1, keepdims=True) * 1e4
    return np.log1p(values) if logged else values


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_counts_come_back_exactly(kind, logged, told):
    counts = _counts()
    recovered = recover_counts(kind(_normalised(counts, logged=logged)), logged=logged if told else None)
    np.testing.assert_array_equal(recovered.counts.toarray(), counts)
    assert recovered.logged is logged
    assert recovered.residual < 1e-9


@given(st.integers(0, 10**6), st.floats(0.01, 1e5))
@settings(max_examples=40, deadline=None)
def test_any_scale_of_a_cell_is_found(seed, scale):
    counts = _counts(seed, (5, 30))
    np.testing.assert_array_equal(recover_counts(counts * scale, logged=False).counts.toarray(), counts)


def test_values_rounded_to_three_decimals_are_accepted_and_the_residual_is_told():
    counts = np.minimum(_counts(), 30)
    recovered = recover_counts(np.round(_normalised(counts, logged=True), 3), logged=True)
    np.testing.assert_array_equal(recovered.counts.toarray(), counts)
    assert 1e-4 < recovered.residual < 0.2


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_blocks_do_not_change_the_counts(kind, monkeypatch):
    counts = _counts()
    counts[8:16] = 0  # a block without values
    with np.errstate(invalid="ignore"):
        values = np.nan_to_num(_normalised(counts, logged=True))
    expected = recover_counts(kind(values))
    monkeypatch.setattr("scgauge._core.matrix.BLOCK_BYTES", 8 * 8 * 40)  # eight cells
    monkeypatch.setattr("scgauge._core.counts._CELLS_THAT_DECIDE", 13)
    found = recover_counts(kind(values))
    np.testing.assert_array_equal(found.counts.toarray(), counts)
    assert found.logged
    assert found.residual == pytest.approx(expected.residual)
    values[[21, 50], 1:] = np.random.default_rng(0).normal(5, 1, (2, 39))
    with pytest.raises(ValueError, match=r"2 of 52 cells .* row (21|50) is off"):
        recover_counts(kind(values))


def test_cells_of_ones_do_not_decide_whether_values_are_logged():
    # Most cells have one value only and are integers under both readings; few genes seen make large scales.
    counts = np.ones((50, 6))
    counts[:3] = np.arange(1, 7)
    for scale in np.geomspace(300, 3000, 8):
        recovered = recover_counts(np.log1p(counts * scale))
        assert recovered.logged
        np.testing.assert_array_equal(recovered.counts.toarray(), counts)
    for scale in np.geomspace(0.5, 5, 8):  # at 5, exponentials of one cell are far above those of the next
        recovered = recover_counts(counts * scale)
        assert not recovered.logged
        np.testing.assert_array_equal(recovered.counts.toarray(), counts)


def test_values_too_large_for_logarithms():
    with pytest.raises(ValueError, match="Found the value 1000, too large for log1p"):
        recover_counts(np.array([[1000.0, 1.0]]), logged=True)
    assert not recover_counts(np.array([[1000.0, 1.0]])).logged


def test_cell_whose_smallest_count_is_not_one():
    counts = np.array([[2.0, 3, 7, 0], [3.0, 4, 5, 11], [1.0, 2, 3, 4]])
    np.testing.assert_array_equal(recover_counts(counts * 0.37, logged=False).counts.toarray(), counts)


def test_empty_cells_and_empty_matrices_stay_empty():
    counts = _counts()
    counts[3] = 0
    values = np.divide(counts, counts.sum(1, keepdims=True), out=np.zeros_like(counts), where=counts > 0)
    np.testing.assert_array_equal(recover_counts(values).counts.toarray(), counts)
    assert recover_counts(np.zeros((2, 3))).counts.nnz == 0


def test_the_input_is_left_alone():
    values = sparse.csr_matrix(_normalised(_counts(), logged=True))
    before = values.copy()
    recover_counts(values)
    assert (values != before).nnz == 0


@pytest.mark.parametrize(("value", "message"), [(-1.0, "found 1 other entries"), (np.nan, "found 1 other entries")])
def test_negative_and_missing_values(value, message):
    values = _normalised(_counts(), logged=False)
    values[2, 2] = value
    with pytest.raises(ValueError, match=message):
        recover_counts(values)


def test_values_that_are_no_multiples_are_refused_with_the_worst_cell():
    values = _normalised(_counts(), logged=False)
    values[7] = np.random.default_rng(0).normal(5, 1, 40)
    with pytest.raises(ValueError, match=r"1 of 60 cells are no multiples of integer counts: row 7 is off by 0\.\d+"):
        recover_counts(values, logged=False)
