import numpy as np
import pytest
from cells import make_cells

from scgauge.pp import recover_counts


def _normalised():
    adata = make_cells()
    counts = adata.X.toarray()
    adata.layers["raw"] = adata.X.copy()
    adata.X = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)
    return adata


def test_counts_are_written_with_a_note():
    adata = _normalised()
    recover_counts(adata)
    np.testing.assert_array_equal(adata.layers["counts"].toarray(), adata.layers["raw"].toarray())
    params = adata.uns["counts"]["params"]
    assert params["logged"] is True
    assert params["residual"] < 0.01


def test_other_layer_and_key():
    adata = _normalised()
    adata.layers["logged"], adata.X = adata.X, adata.layers["raw"]
    result = recover_counts(adata, layer="logged", key_added="back", copy=True)
    np.testing.assert_array_equal(result.layers["back"].toarray(), adata.layers["raw"].toarray())
    assert "back" not in adata.layers


def test_failed_call_changes_nothing():
    adata = _normalised()
    adata.X = adata.X - 1
    with pytest.raises(ValueError, match="scaled data"):
        recover_counts(adata)
    assert "counts" not in adata.layers
    assert "counts" not in adata.uns
