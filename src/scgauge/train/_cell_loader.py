from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from scvi import settings
from scvi.dataloaders import AnnDataLoader

from scgauge.train._cell_store import CellStore
from scgauge.train._shuffled_blocks import shuffle_blocks, shuffle_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scvi.data import AnnDataManager

    from scgauge._core.stored_rows import StoredRows

#: Bytes of cells on disk that are in memory at a time: shuffled together, or read ahead in a given order.
_SHUFFLED_BYTES, _READ_AHEAD_BYTES = 2**27, 2**25
#: Blocks of a buffer below which minibatches of a sorted file would differ much.
_FEWEST_BLOCKS = 32


class CellLoader:
    """Minibatches of registered cells, taken by an array of row numbers that is drawn once an epoch.

    Cells in memory are drawn without replacement from all cells; equal seeds give the minibatches that scvi-tools'
    loader gives. Cells on disk are read in large pieces, buffer by buffer. In a given order they come back in that
    order. Shuffled, blocks of neighbouring cells are put into random order, a buffer takes the next hundreds of blocks,
    and its cells are shuffled: a minibatch is a random sample of cells that come from blocks all over the file, each
    cell once an epoch. Cells of which all fit into the buffer are drawn as cells in memory are.

    Parameters
    ----------
    store
        The cells.
    indices
        Cells to load, ``(n_cells,)``.
    batch_size
        Cells in a minibatch.
    shuffle
        Whether each epoch has an order of its own.
    drop_last
        Whether to leave out a last minibatch that is not full.
    rank, n_ranks
        Number of this process and of all processes that share the cells. Each gets the same number of cells; at most
        ``n_ranks - 1`` are left out, others in each epoch if they are shuffled.
    buffer_size
        Cells on disk that are in memory at a time, rounded down to whole minibatches; ``None`` for 128 MiB of them if
        they are shuffled, 32 MiB else.
    """

    def __init__(
        self,
        store: CellStore,
        indices: np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        n_ranks: int = 1,
        buffer_size: int | None = None,
    ) -> None:
        self.store, self.indices, self.batch_size = store, indices, batch_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.rank, self.n_ranks = rank, n_ranks
        self.epoch = 0
        if buffer_size is None and store.reader is not None:
            n_bytes = _SHUFFLED_BYTES if shuffle else _READ_AHEAD_BYTES
            buffer_size = int(n_bytes // max(1.0, store.reader.row_bytes))
        #: Cells on disk that are in memory at a time, a multiple of the minibatch.
        self.buffer_size = max(1, (buffer_size or 1) // batch_size) * batch_size
        if shuffle and store.reader is not None:
            self.block_size = self._choose_block_size(store.reader)

    def _choose_block_size(self, reader: StoredRows) -> int:
        """Return the rows of a block, so that a buffer has many; warn where the storage does not let it have them."""
        size = max(reader.n_packed, min(reader.n_together, self.buffer_size // _FEWEST_BLOCKS))
        n_blocks, n_all = self.buffer_size // size, reader.shape[0] // size
        if n_blocks < _FEWEST_BLOCKS < n_all:
            rank_zero_warn(
                f"The file packs {size} cells into one piece, so that a buffer of {self.buffer_size} cells has "
                f"{n_blocks} of {n_all} pieces only, and minibatches differ if the file is sorted. Enlarge the buffer, "
                f"datasplitter_kwargs={{'buffer_size': {_FEWEST_BLOCKS * size}}}, or write it without compression.",
                category=UserWarning,
            )
        return size

    @property
    def n_cells(self) -> int:
        """Number of cells that an epoch of this process has."""
        return len(self.indices) // self.n_ranks

    def __len__(self) -> int:
        full, rest = divmod(self.n_cells, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = self.indices[self._order()] if self.store.reader is None else self._order_on_disk()
        rows = rows[: len(self) * self.batch_size]
        if self.store.reader is None:
            yield from self._minibatches(self.store, rows)
            return
        for start in range(0, len(rows), self.buffer_size):
            part = rows[start : start + self.buffer_size]
            yield from self._minibatches(self.store.load(part), np.arange(len(part)))

    def _minibatches(self, store: CellStore, rows: np.ndarray) -> Iterator[dict[str, Any]]:
        for start in range(0, len(rows), self.batch_size):
            yield store.take(rows[start : start + self.batch_size])

    def _order(self) -> np.ndarray:
        """Draw the order of an epoch as torch's loader and sampler do: two seeds, a permutation from the second."""
        _seed()
        if not self.shuffle:
            order = np.arange(len(self.indices))
        elif self.n_ranks == 1:
            order = _permutation(len(self.indices), _seed())
        else:
            # All processes draw the same order, whatever else they have drawn, and take turns in it.
            order = _permutation(len(self.indices), self._common_seed())
        return order[self.rank :: self.n_ranks][: self.n_cells]

    def _order_on_disk(self) -> np.ndarray:
        """Draw the row numbers of an epoch of cells on disk; processes take shares of the blocks, one after another."""
        if self.shuffle and len(self.indices) <= self.buffer_size:
            return self.indices[self._order()]
        _seed()
        mine = slice(self.rank * self.n_cells, (self.rank + 1) * self.n_cells)
        if not self.shuffle or self.store.reader is None:
            return self.indices[mine]
        rng = np.random.default_rng(_seed() if self.n_ranks == 1 else self._common_seed())
        rows = shuffle_blocks(self.indices, self.block_size, rng)[mine]
        return shuffle_within(rows, self.buffer_size, rng)

    def _common_seed(self) -> int:
        seed = self.epoch + (settings.seed or 0)
        self.epoch += 1
        return seed


def _seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())


def _permutation(n: int, seed: int) -> np.ndarray:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


def cell_loader(
    manager: AnnDataManager,
    *,
    indices: Any = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    drop_last: bool = False,
    keep_sparse: bool = False,
    store: CellStore | None = None,
    buffer_size: int | None = None,
    **kwargs: Any,
) -> CellLoader | AnnDataLoader:
    """Return a loader of minibatches: `CellLoader`, or scvi-tools' loader for what only that can do.

    Parameters
    ----------
    manager
        Registered data.
    indices
        Cells to load, as numbers or as a mask; all if ``None``.
    batch_size
        Cells in a minibatch; scvi-tools' setting if ``None``.
    shuffle
        Whether each epoch has an order of its own.
    drop_last
        Whether to leave out a last minibatch that is not full.
    keep_sparse
        Whether sparse counts stay sparse in the minibatches.
    store
        Cells to take from, if they are prepared already.
    buffer_size
        Cells on disk that are in memory at a time, see `CellLoader`.
    **kwargs
        Further arguments of :class:`scvi.dataloaders.AnnDataLoader`. Those on worker processes and pinned memory
        have no meaning here, where a minibatch is ready sooner than a worker could send it.
    """
    batch_size = batch_size or settings.batch_size
    plain = {"num_workers", "persistent_workers", "pin_memory", "load_sparse_tensor"}
    distributed = kwargs.pop("distributed_sampler", False)
    if not CellStore.can_hold(manager) or any(value for key, value in kwargs.items() if key not in plain):
        return AnnDataLoader(
            manager,
            indices=indices,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            distributed_sampler=distributed,
            **kwargs,
        )
    indices = np.arange(manager.adata.n_obs) if indices is None else np.asarray(indices)
    if indices.dtype == bool:
        indices = np.flatnonzero(indices)
    is_shared = distributed and torch.distributed.is_available() and torch.distributed.is_initialized()
    return CellLoader(
        store or CellStore(manager, keep_sparse=keep_sparse),
        indices.astype(np.int64),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        rank=torch.distributed.get_rank() if is_shared else 0,
        n_ranks=torch.distributed.get_world_size() if is_shared else 1,
        buffer_size=buffer_size,
    )
