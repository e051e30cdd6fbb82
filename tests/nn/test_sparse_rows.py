import numpy as np
import pytest
import torch

from scgauge.nn import SparseRows

pytestmark = pytest.mark.quick


@pytest.fixture
def dense():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.poisson(0.4, (5, 7)), dtype=torch.float32)
    x[2] = 0
    x[4] = 0  # the last row too
    return x


def test_holds_the_matrix(dense):
    rows = SparseRows.from_dense(dense)
    torch.testing.assert_close(rows.to_dense(), dense)
    torch.testing.assert_close(rows.totals, dense.sum(1))
    torch.testing.assert_close(rows.sum_rows(rows.values.square()), dense.square().sum(1))
    torch.testing.assert_close(dense.reshape(-1)[rows.places.long()], rows.values)
    assert len(rows) == 5
    assert rows.shape == dense.shape
    assert rows.size(0) == 5
    assert rows.offsets.tolist() == [0, *(dense > 0).sum(1).cumsum(0).tolist()]


def test_values_are_mapped(dense):
    torch.testing.assert_close(SparseRows.from_dense(dense).map_values(torch.log1p).to_dense(), dense.log1p())


def test_moves_as_a_tensor_does(dense):
    moved = SparseRows.from_dense(dense).to("meta")
    assert moved.device.type == "meta"
    assert moved.totals.device.type == "meta"
    assert moved.n_columns == 7
