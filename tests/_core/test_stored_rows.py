import anndata
import h5py
import numpy as np
import pytest
from cells import make_cells, stored_as
from scipy import sparse

from scgauge._core import stored_rows
from scgauge._core.matrix import row_sums, take_rows
from scgauge._core.stored_rows import StoredRows, is_stored, take_cells
from scgauge.datasets import read_backed

pytestmark = pytest.mark.quick

STORES = ["csr", "gzip", "dense", "chunked", "zarr", "zarr_dense"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Open files of the same 500 cells, by how they are stored, and the cells as an array."""
    folder = tmp_path_factory.mktemp("stores")
    adata = make_cells(n_obs=500)
    x = adata.X.toarray()
    dense = adata.copy()
    dense.X = x
    adata.write_h5ad(folder / "csr.h5ad")
    adata.write_h5ad(folder / "gzip.h5ad", compression="gzip")
    dense.write_h5ad(folder / "dense.h5ad")
    dense.write_h5ad(folder / "chunked.h5ad", compression="gzip")
    adata.write_zarr(folder / "zarr.zarr")
    dense.write_zarr(folder / "zarr_dense.zarr")
    places = {place.stem: place for place in folder.iterdir()}
    return {name: read_backed(places[name]).X for name in STORES}, x


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize(
    "rows",
    [np.arange(500), np.arange(17, 90), [499, 3, 3, 250, 0], np.arange(0, 500, 7)[::-1], [], [5]],
    ids=["all", "range", "unsorted", "backwards", "none", "one"],
)
def test_rows_come_back_in_the_order_asked_for(stores, name, rows, monkeypatch):
    matrices, x = stores
    assert is_stored(matrices[name])
    rows = np.asarray(rows, dtype=np.int64)
    for gap, read in ((2**15, 2**23), (0, 2000)):  # as it is, and in many small reads
        monkeypatch.setattr(stored_rows, "_GAP_BYTES", gap)
        monkeypatch.setattr(stored_rows, "_READ_BYTES", read)
        block = StoredRows(matrices[name]).take(rows, dtype=np.float32)
        assert block.dtype == np.float32
        block = block.toarray() if sparse.issparse(block) else block
        np.testing.assert_array_equal(block, x[rows])
    np.testing.assert_allclose(row_sums(matrices[name], rows), x[rows].sum(1))
    kept = take_rows(matrices[name], rows)
    np.testing.assert_array_equal(kept.toarray() if sparse.issparse(kept) else kept, x[rows])


def test_sums_of_some_rows_of_a_matrix_in_memory():
    matrix = make_cells().X
    rows = np.array([9, 2, 2, 100])
    for kind in (matrix, matrix.tocsc(), matrix.toarray()):
        np.testing.assert_allclose(row_sums(kind, rows), matrix.toarray()[rows].sum(1))


def test_neighbours_are_read_together(stores, monkeypatch):
    reader = StoredRows(stores[0]["csr"])
    assert len(reader._runs(np.arange(500))) == 2  # one read
    monkeypatch.setattr(stored_rows, "_GAP_BYTES", 50)
    wanted = np.array([0, 1, 2, 300, 301, 499])
    np.testing.assert_array_equal(reader._runs(wanted), [0, 3, 5, 6])


def test_what_lies_together_follows_from_the_storage(tmp_path):
    matrix = sparse.random(20_000, 50, density=0.2, format="csr", random_state=0, dtype=np.float32)
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        for name, compression in (("plain", None), ("packed", "gzip")):
            anndata.io.write_elem(file, name, matrix, dataset_kwargs={"chunks": (50_000,), "compression": compression})
        plain, packed = (StoredRows(anndata.io.sparse_dataset(file[name])) for name in ("plain", "packed"))
        assert plain.row_bytes == pytest.approx(80)
        assert plain.n_together == 820  # 64 KiB
        assert plain.n_packed == 1
        assert packed.n_packed == packed.n_together == 5000  # 50,000 entries of 10 a cell


def test_columns_are_refused(tmp_path):
    adata = make_cells()
    adata.X = adata.X.tocsc()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match="stored by columns"):
        read_backed(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match="stored by columns"):
        StoredRows(backed.X)
    np.testing.assert_allclose(row_sums(backed.X, np.array([3, 1])), adata.X.toarray()[[3, 1]].sum(1))
    backed.file.close()


@pytest.mark.parametrize("kind", ["backed", "dask"])
def test_cells_that_are_taken_are_in_memory(kind, tmp_path):
    adata = make_cells()
    rows = np.array([9, 2, 100])
    part = take_cells(stored_as(kind, adata.copy(), tmp_path / "cells.h5ad"), rows)
    assert sparse.issparse(part.X)
    np.testing.assert_array_equal(part.X.toarray(), adata.X.toarray()[rows])
    assert list(part.obs_names) == ["cell_9", "cell_2", "cell_100"]
