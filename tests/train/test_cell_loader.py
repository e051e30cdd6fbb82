import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from cells import SETUP, make_cells
from scipy import sparse
from scvi.dataloaders import AnnDataLoader

from scgauge.model import CountVI
from scgauge.nn import SparseRows
from scgauge.train import CellLoader, CellStore, cell_loader
from scgauge.train._cell_store import DeviceRows, HostRows, smallest_dtype

pytestmark = pytest.mark.quick


def _manager(adata: AnnData):
    CountVI.setup_anndata(adata, size_factor_key="size_factor", labels_key="type", **SETUP)
    return CountVI._get_most_recent_anndata_manager(adata)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_minibatches_are_those_of_scvi_tools(shuffle, drop_last):
    manager = _manager(make_cells())
    options = {"indices": np.arange(5, 118), "batch_size": 25, "shuffle": shuffle, "drop_last": drop_last}
    epochs = []
    for make in (AnnDataLoader, cell_loader):
        scvi.settings.seed = 3
        loader = make(manager, **options)
        epochs.append([batch for _ in range(2) for batch in loader])
    assert len(epochs[0]) == len(epochs[1]) == 2 * (4 + (not drop_last))
    for theirs, ours in zip(*epochs, strict=True):
        assert set(theirs) == set(ours)
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=0, msg=key)


@pytest.mark.parametrize(
    "kind",
    [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, np.asarray],
    ids=["csr", "csr_array", "csc", "dense"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix is formatted as CSR:UserWarning")
def test_every_matrix_kind_gives_the_same_minibatch(kind, dtype):
    adata = make_cells()
    expected = adata.X.toarray()
    adata.X = kind(expected.astype(dtype))
    rows = np.array([7, 3, 3, 100])
    store = CellStore(_manager(adata), keep_sparse=True)
    x = store.take(rows)["X"]
    if kind is not np.asarray:
        assert isinstance(x, SparseRows)
        x = x.to_dense()
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x.numpy(), expected[rows])


def test_stored_zeros_and_parts_of_an_entry_do_not_count():
    # Row 0: 2 stored as 1 + 1, and a stored zero; columns unsorted.
    matrix = sparse.csr_matrix((np.float32([1, 0, 1, 5]), [2, 0, 2, 1], [0, 3, 4]), shape=(2, 3))
    before = (matrix.data.copy(), matrix.indices.copy())
    for rows in (HostRows(matrix), DeviceRows(matrix, torch.device("cpu"))):
        block = rows.take(np.array([1, 0]))
        assert block.values.tolist() == [5, 2]
        np.testing.assert_array_equal(block.to_dense().numpy(), [[0, 5, 0], [0, 0, 2]])
        assert block.totals.tolist() == [5, 2]
    np.testing.assert_array_equal(matrix.data, before[0])  # the user's matrix is as it was
    np.testing.assert_array_equal(matrix.indices, before[1])


def test_rows_on_a_device_are_those_on_the_host():
    matrix = make_cells().X
    rows = np.random.default_rng(0).permutation(matrix.shape[0])[:50]
    host, device = HostRows(matrix).take(rows), DeviceRows(matrix, torch.device("cpu")).take(rows)
    for name in ("values", "rows", "columns", "offsets", "totals"):
        torch.testing.assert_close(getattr(device, name), getattr(host, name), rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([], "uint8"), ([1, 255], "uint8"), ([256], "int16"), ([2**15], "float32"), ([-1], "float32"), ([0.5], "float32")],
)
def test_counts_take_the_smallest_type_that_holds_them(values, dtype):
    assert smallest_dtype(np.float32(values)) == dtype
    matrix = sparse.csr_matrix(np.float32([values or [0]]))
    assert DeviceRows.size_in_bytes(matrix) == matrix.nnz * (4 + np.dtype(dtype).itemsize)
    np.testing.assert_array_equal(
        DeviceRows(matrix, torch.device("cpu")).take(np.array([0])).to_dense().numpy(), matrix.toarray()
    )


def test_masks_and_defaults():
    manager = _manager(make_cells())
    mask = np.zeros(120, dtype=bool)
    mask[[4, 90]] = True
    (batch,) = cell_loader(manager, indices=mask)
    assert batch["X"].shape == (2, 20)
    assert len(cell_loader(manager)) == 1  # scvi.settings.batch_size is 128


def test_only_what_our_loader_cannot_do_is_left_to_scvi_tools():
    manager = _manager(make_cells())
    assert isinstance(cell_loader(manager), CellLoader)
    assert isinstance(cell_loader(manager, iter_ndarray=True), AnnDataLoader)


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_cells(shuffle):
    manager = _manager(make_cells())
    store = CellStore(manager)
    store.fields = {"number": torch.arange(120)}
    scvi.settings.seed = 0
    loaders = [
        CellLoader(store, np.arange(1, 120), batch_size=16, shuffle=shuffle, rank=rank, n_ranks=3) for rank in range(3)
    ]
    seen = [np.concatenate([batch["number"].numpy() for batch in loader]) for loader in loaders]
    assert [len(part) for part in seen] == [39, 39, 39]  # 119 cells; two are left out
    assert len(np.unique(np.concatenate(seen))) == 117
    again = np.concatenate([batch["number"].numpy() for batch in loaders[0]])
    assert (not np.array_equal(seen[0], again)) == shuffle
