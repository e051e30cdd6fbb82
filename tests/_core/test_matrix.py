import anndata
import numpy as np
import pytest
from cells import make_cells
from scipy import sparse

from scgauge._core.matrix import as_rows, column_sums, get_matrix, iter_rows, row_sums

pytestmark = pytest.mark.quick

KINDS = {
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csc_matrix": sparse.csc_matrix,
    "csc_array": sparse.csc_array,
    "dense": np.asarray,
    "integers": lambda x: x.astype(np.int32),
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("kind", KINDS)
def test_sums_and_blocks_are_those_of_the_dense_matrix(kind):
    x = make_cells().X.toarray()
    matrix = KINDS[kind](x)
    np.testing.assert_allclose(column_sums(matrix), x.sum(0, dtype=np.float64))
    np.testing.assert_allclose(row_sums(matrix), x.sum(1, dtype=np.float64))
    blocks = list(iter_rows(matrix, block_size=50))
    assert [rows for rows, _ in blocks] == [slice(0, 50), slice(50, 100), slice(100, 120)]
    dense = [block.toarray() if sparse.issparse(block) else block for _, block in blocks]
    np.testing.assert_array_equal(np.concatenate(dense), x)
    rows = as_rows(matrix)
    assert isinstance(rows, np.ndarray | sparse.csr_matrix)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "dense"])
def test_backed_matrices_are_read_block_by_block(kind, tmp_path):
    adata = make_cells()
    x = adata.X.toarray()
    adata.X = KINDS[kind](x)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_allclose(column_sums(backed.X), x.sum(0))
    np.testing.assert_allclose(row_sums(backed.X), x.sum(1))
    rows = as_rows(backed.X)
    np.testing.assert_array_equal(rows.toarray() if sparse.issparse(rows) else rows, x)
    backed.file.close()


def test_missing_matrix_and_layer():
    adata = make_cells()
    adata.layers["kept"] = adata.X
    adata.X = None
    with pytest.raises(ValueError, match="Found no matrix in adata.X"):
        get_matrix(adata)
    with pytest.raises(KeyError, match=r"found \['kept'\]"):
        get_matrix(adata, "lost")
    assert get_matrix(adata, "kept").shape == (120, 20)
