from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import settings
from scvi.dataloaders import AnnDataLoader

from scgauge.train._cell_store import CellStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scvi.data import AnnDataManager


class CellLoader:
    """Minibatches of registered cells, taken by an array of row numbers that is drawn once an epoch.

    Equal seeds give the minibatches that scvi-tools' loader gives.

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
    ) -> None:
        self.store, self.indices, self.batch_size = store, indices, batch_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.rank, self.n_ranks = rank, n_ranks
        self.epoch = 0

    @property
    def n_cells(self) -> int:
        """Number of cells that an epoch of this process has."""
        return len(self.indices) // self.n_ranks

    def __len__(self) -> int:
        full, rest = divmod(self.n_cells, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = self.indices[self._order()]
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.store.take(rows[start : start + self.batch_size])

    def _order(self) -> np.ndarray:
        """Draw the order of an epoch as torch's loader and sampler do: two seeds, a permutation from the second."""
        _seed()
        if not self.shuffle:
            order = np.arange(len(self.indices))
        elif self.n_ranks == 1:
            order = _permutation(len(self.indices), _seed())
        else:
            # All processes draw the same order, whatever else they have drawn, and take turns in it.
            order = _permutation(len(self.indices), self.epoch + (settings.seed or 0))
            self.epoch += 1
        return order[self.rank :: self.n_ranks][: self.n_cells]


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
    **kwargs: Any,
) -> CellLoader | AnnDataLoader:
    """Return a loader of minibatches: `CellLoader` for data in memory, scvi-tools' loader for all other data.

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
    **kwargs
        Further arguments of :class:`scvi.dataloaders.AnnDataLoader`. Those on worker processes and pinned memory
        have no meaning for data in memory, where a minibatch is ready sooner than a worker could send it.
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
    )
