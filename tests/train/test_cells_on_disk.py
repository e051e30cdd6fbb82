"""Loading of cells whose matrix stays on disk."""

import anndata
import h5py
import numpy as np
import pytest
import scvi
import torch
from cells import SETUP, make_cells

from scgauge.datasets import read_backed
from scgauge.model import ODEVI, CountVI
from scgauge.train import CellLoader, CellSplitter, CellStore, SubjectSplitter, cell_loader
from scgauge.train._shuffled_blocks import shuffle_blocks, shuffle_within

pytestmark = pytest.mark.quick

N_CELLS = 700


def registered(adata):
    CountVI.setup_anndata(adata, size_factor_key="size_factor", labels_key="type", **SETUP)
    return CountVI._get_most_recent_anndata_manager(adata)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    adata = make_cells(n_obs=N_CELLS)
    adata.obs["number"] = np.arange(N_CELLS) + 1.0
    adata.write_h5ad(folder / "cells.h5ad")
    adata.write_zarr(folder / "cells.zarr")
    return folder, adata


def opened(places, kind):
    path = places[0] / f"cells.{'zarr' if kind == 'zarr' else 'h5ad'}"
    return anndata.read_h5ad(path, backed="r") if kind == "backed" else read_backed(path)


@pytest.mark.parametrize("kind", ["backed", "h5ad", "zarr"])
@pytest.mark.parametrize("keep_sparse", [False, True])
def test_minibatches_are_those_of_cells_in_memory(places, kind, keep_sparse):
    # Out of order and repeated: scvi-tools' data set sorts the cells of a backed file.
    indices = np.array([600, 3, 3, 77, 250, 0, 699])
    options = {"indices": indices, "batch_size": 3, "keep_sparse": keep_sparse}
    expected = list(cell_loader(registered(places[1].copy()), **options))
    found = list(cell_loader(registered(opened(places, kind)), **options, buffer_size=3))
    assert len(found) == len(expected) == 3
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == set(theirs) >= {"X", "batch", "labels", "extra_categorical_covs", "size_factor"}
        for key, value in theirs.items():
            x, y = (part.to_dense() if keep_sparse and key == "X" else part for part in (ours[key], value))
            torch.testing.assert_close(x, y, rtol=0, atol=0, msg=key)


def numbers(loader):
    """Numbers of the cells of each minibatch; the sum of a row tells that the matrix belongs to them."""
    return [batch["size_factor"].numpy().ravel() for batch in loader]


@pytest.fixture
def numbered(places):
    CountVI.setup_anndata(adata := opened(places, "backed"), size_factor_key="number")
    return CountVI._get_most_recent_anndata_manager(adata), places[1].X.toarray()


def test_each_epoch_has_every_cell_once_in_an_order_of_its_own(numbered):
    manager, x = numbered
    rows = np.arange(5, 690)
    scvi.settings.seed = 1
    loader = cell_loader(manager, indices=rows, batch_size=32, shuffle=True, buffer_size=256)
    assert loader.buffer_size == 256
    first, second = numbers(loader), numbers(loader)
    assert [len(part) for part in first] == [32] * 21 + [13]
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), rows + 1)
        # Neighbours in the file, eight of which make a block, are no neighbours in the epoch.
        assert np.mean(np.diff(np.concatenate(epoch)) == 1) < 0.1
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    scvi.settings.seed = 1
    again = numbers(cell_loader(manager, indices=rows, batch_size=32, shuffle=True, buffer_size=256))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    for batch in loader:
        cells = batch["size_factor"].numpy().ravel().astype(int) - 1
        np.testing.assert_array_equal(batch["X"].numpy(), x[cells])


@pytest.mark.parametrize("n_cells", [256, 257])
def test_cells_that_fit_into_one_buffer_are_drawn_as_those_in_memory(places, n_cells):
    epochs = []
    for adata in (places[1].copy(), opened(places, "backed")):
        CountVI.setup_anndata(adata, size_factor_key="number")
        manager = CountVI._get_most_recent_anndata_manager(adata)
        scvi.settings.seed = 1
        options = {"indices": np.arange(n_cells), "batch_size": 32, "shuffle": True, "buffer_size": 256}
        loader = cell_loader(manager, **options)
        epochs.append([np.concatenate(numbers(loader)) for _ in range(2)])
    assert np.array_equal(*epochs) == (n_cells == 256)


def test_the_last_minibatch_can_be_left_out(numbered):
    loader = cell_loader(numbered[0], batch_size=64, shuffle=True, drop_last=True, buffer_size=100)
    assert loader.buffer_size == 64
    assert [len(part) for part in numbers(loader)] == [64] * (N_CELLS // 64)


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_cells(numbered, shuffle):
    store = CellStore(numbered[0])
    scvi.settings.seed = 0
    options = {"batch_size": 16, "shuffle": shuffle, "n_ranks": 3, "buffer_size": 64}
    loaders = [CellLoader(store, np.arange(1, 699), rank=rank, **options) for rank in range(3)]
    seen = [np.concatenate(numbers(loader)) for loader in loaders]
    assert [len(part) for part in seen] == [232, 232, 232]  # 698 cells; two are left out
    assert len(np.unique(np.concatenate(seen))) == 696
    assert (not np.array_equal(seen[0], np.concatenate(numbers(loaders[0])))) == shuffle


def test_a_minibatch_is_nearly_a_random_sample():
    # Cells sorted by type: the worst case. The share of a type in a minibatch varies as in a random sample, and as
    # the blocks of its buffer vary (each block is of one type).
    n, batch, block, buffer = 2**16, 128, 64, 2**14
    kind = np.arange(n) < n // 4
    variances = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        order = shuffle_within(shuffle_blocks(rng.permutation(n), block, rng), buffer, rng)
        assert np.array_equal(np.sort(order), np.arange(n))
        variances.append(kind[order].reshape(-1, batch).mean(1).var())
    n_blocks, all_blocks = buffer // block, n // block
    law = 0.25 * 0.75 * (1 / batch + (1 - n_blocks / all_blocks) / n_blocks)
    assert np.mean(variances) == pytest.approx(law, rel=0.1)  # 2560 minibatches: standard error 3 %


def test_blocks_stay_together_and_need_not_be_full():
    rows = np.array([130, 5, 3, 64, 129, 200, 1])
    order = shuffle_blocks(rows, 64, np.random.default_rng(0))
    starts = {tuple(part) for part in np.split(order, np.flatnonzero(np.diff(order // 64)) + 1)}
    assert starts == {(1, 3, 5), (64,), (129, 130), (200,)}
    assert shuffle_blocks(rows[:0], 64, np.random.default_rng(0)).shape == (0,)


def test_the_validation_set_is_random_and_read_in_one_pass(numbered):
    splitter = CellSplitter(numbered[0], train_size=0.8, batch_size=32)
    splitter.setup()
    validation = splitter.val_idx
    assert len(validation) == 140
    assert (np.diff(validation) > 0).all()
    assert validation.min() < 50
    assert validation.max() > 650
    assert not set(validation) & set(splitter.train_idx)
    np.testing.assert_array_equal(np.concatenate(numbers(splitter.val_dataloader())), validation + 1)


def test_a_buffer_holds_a_minibatch(numbered):
    with pytest.raises(ValueError, match="buffer_size=100 was given; at least one minibatch, 128 cells"):
        CellSplitter(numbered[0], batch_size=128, buffer_size=100)


def test_a_buffer_of_few_packed_pieces_is_told(tmp_path, places):
    with h5py.File(tmp_path / "packed.h5ad", "w") as file:
        for name, part in (("X", places[1].X), ("obs", places[1].obs), ("var", places[1].var)):
            packed = {"chunks": (100,), "compression": "gzip"} if name == "X" else {}
            anndata.io.write_elem(file, name, part, dataset_kwargs=packed)
    manager = registered(read_backed(tmp_path / "packed.h5ad"))
    with pytest.warns(UserWarning, match=r"packs \d+ cells into one piece, so that a buffer of 32 cells has \d of"):
        cell_loader(manager, batch_size=32, shuffle=True, buffer_size=32)
    cell_loader(manager, batch_size=32, buffer_size=32)  # nothing is shuffled
    cell_loader(manager, batch_size=32, shuffle=True)  # holds all


def test_files_by_columns_are_refused(tmp_path):
    adata = make_cells()
    adata.X = adata.X.tocsc()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match=r"stored by columns \(csc\)"):
        CellStore(registered(anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")))


def test_visits_of_individuals_are_not_read_from_disk(tmp_path):
    adata = make_cells()
    adata.obs["subject"] = [f"s{index // 2}" for index in range(120)]
    adata.obs["time"] = np.arange(120) % 2 * 1.0
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    ODEVI.setup_anndata(backed, time_key="time", subject_key="subject")
    with pytest.raises(ValueError, match=r"visits are on disk.*adata = adata.to_memory\(\)"):
        SubjectSplitter(ODEVI._get_most_recent_anndata_manager(backed))
