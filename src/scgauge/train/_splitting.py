from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS, settings
from scvi.dataloaders import DataSplitter

from scgauge._core.checks import check_indices
from scgauge._core.matrix import as_rows
from scgauge._core.stored_rows import is_stored
from scgauge.train._cell_loader import CellLoader, cell_loader
from scgauge.train._cell_store import CellStore, DeviceRows
from scgauge.train._processes import is_shared

if TYPE_CHECKING:
    from scvi.data import AnnDataManager
    from scvi.dataloaders import AnnDataLoader


logger = logging.getLogger(__name__)

#: Share of the free memory of a device that the cells may take.
_DEVICE_SHARE = 0.5


class CellSplitter(DataSplitter):
    """scvi-tools' splitter of cells into training, validation and test sets, with minibatches that stay sparse.

    The counts stay where they are, or go to the training device once, sparse and in the smallest type that holds
    them; minibatches are taken there. All registered fields travel along. Counts on disk (a backed h5ad, a zarr store)
    stay on disk and are read in large pieces, see :class:`CellLoader`.

    Batch norm cannot normalise a minibatch of one cell. Where the last minibatch of an epoch would have one, it is
    left out; the cells are shuffled, so that each epoch leaves out another.

    Parameters
    ----------
    adata_manager
        Registered data.
    load_on_device
        Whether the cells are kept on the training device: ``"auto"`` does so if they take less than half of the
        free memory of a GPU. The memory they take is logged. Cells on disk are not.
    buffer_size
        Cells on disk that are in memory at a time and are shuffled together; ``None`` for 128 MiB of them. More make
        minibatches more alike to those of cells in memory, see the user guide.
    **kwargs
        Passed to :class:`scvi.dataloaders.DataSplitter`; ``train_size``, ``validation_size``, ``external_indexing``,
        ``shuffle_set_split``, ``batch_size``, ``drop_last``, ... ``external_indexing`` names the cells of the training,
        validation and test sets (the last two may be left out), as row numbers or as masks; every cell is in one set.

    Raises
    ------
    TypeError
        If ``external_indexing`` is no list of sets of row numbers.
    ValueError
        If there are fewer than two cells to train on, one cell in a minibatch, or a buffer smaller than a minibatch; if
        ``external_indexing`` leaves out cells or names some twice; if the counts are on disk and compressed by columns.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        *,
        load_on_device: bool | Literal["auto"] = "auto",
        buffer_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        n_cells = adata_manager.adata.n_obs
        if n_cells < 2:
            message = f"Found {n_cells} cell; training needs at least 2."
            raise ValueError(message)
        batch_size = kwargs.get("batch_size") or settings.batch_size
        if batch_size < 2:
            message = f"batch_size={batch_size} was given; batch norm needs minibatches of at least 2 cells."
            raise ValueError(message)
        if buffer_size is not None and buffer_size < batch_size:
            message = f"buffer_size={buffer_size} was given; at least one minibatch, {batch_size} cells, is needed."
            raise ValueError(message)
        if kwargs.get("external_indexing") is not None:
            kwargs["external_indexing"] = _checked_sets(kwargs["external_indexing"], n_cells)
        with warnings.catch_warnings():
            # It warns of errors that cannot happen here.
            warnings.filterwarnings("ignore", message="Last batch will have a small size", category=UserWarning)
            super().__init__(adata_manager, **kwargs)
        if self.n_train < 2:
            message = (
                f"{self.n_train} of {n_cells} cells are left for training, which needs at least 2. "
                "Raise `train_size` or pass more cells."
            )
            raise ValueError(message)
        if self.n_train % batch_size == 1:
            self.drop_last = True
        self.load_on_device, self.buffer_size = load_on_device, buffer_size
        self._store: CellStore | None = None

    def setup(self, stage: str | None = None) -> None:
        """Split the cells; processes that train together take the split of the first."""
        super().setup(stage)
        if is_stored(self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)):
            # Sets that are read as they stand are read in one pass over the file.
            for name in ("val_idx", "test_idx"):
                setattr(self, name, np.sort(getattr(self, name)))
        if is_shared():
            names = ("train_idx", "val_idx", "test_idx")
            split = [getattr(self, name) for name in names]
            torch.distributed.broadcast_object_list(split)
            for name, cells in zip(names, split, strict=True):
                setattr(self, name, cells)

    def data_loader_cls(self, manager: AnnDataManager, **kwargs: Any) -> CellLoader | AnnDataLoader:
        """Return the loader of one of the sets; all of them take their cells from one store."""
        if self._store is None and CellStore.can_hold(manager):
            self._store = CellStore(manager, device=self._device(manager), keep_sparse=True)
        loader = cell_loader(manager, store=self._store, buffer_size=self.buffer_size, **kwargs)
        if isinstance(loader, CellLoader) and loader.shuffle and loader.n_cells % loader.batch_size == 1:
            loader.drop_last = True  # a process that shares the cells has fewer of them
        return loader

    def teardown(self, stage: str | None = None) -> None:
        """Give the memory of the cells back when training is over."""
        self._store = None

    def _device(self, manager: AnnDataManager) -> torch.device | None:
        """Return the device that the cells are to be kept on, ``None`` for the host."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if not self.load_on_device or (device.type == "cpu" and self.load_on_device == "auto"):
            return None
        matrix = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        if is_stored(matrix):
            if self.load_on_device is True:
                logger.info("The cells are on disk and are not kept on %s.", device)
            return None
        matrix = as_rows(matrix)
        needed = DeviceRows.size_in_bytes(matrix) if sparse.issparse(matrix) else matrix.nbytes
        if self.load_on_device == "auto":
            # Devices that do not tell their free memory share that of the host.
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
            if needed > _DEVICE_SHARE * free:
                logger.info("The cells take %.2f GB and stay in host memory.", needed / 1e9)
                return None
        logger.info("The cells take %.2f GB on %s.", needed / 1e9, device)
        return device


_SETS = ("training", "validation", "test")


def _checked_sets(given: Any, n_cells: int) -> list[np.ndarray]:
    """Row numbers of the cells of the three sets, in which every cell is once."""
    if not isinstance(given, list | tuple) or not 1 <= len(given) <= len(_SETS):
        size = f" of {len(given)}" if isinstance(given, list | tuple) else ""
        message = (
            f"external_indexing is {type(given).__name__}{size}; a list of one to three sets of row numbers is needed, "
            "[training, validation, test]."
        )
        raise TypeError(message)
    empty = np.zeros(0, dtype=np.int64)
    sets = [empty if cells is None or np.size(cells) == 0 else check_indices(cells, n_cells) for cells in given]
    sets += [empty] * (len(_SETS) - len(sets))
    times = np.bincount(np.concatenate(sets) % n_cells, minlength=n_cells)
    n_repeated, n_missing = int((times > 1).sum()), int((times == 0).sum())
    sizes = ", ".join(f"{len(cells)} {name}" for name, cells in zip(_SETS, sets, strict=True))
    if n_repeated:
        message = (
            f"external_indexing ({sizes} cells) names {n_repeated} cells more than once, for example row "
            f"{int(times.argmax())}; each of the {n_cells} cells belongs into one set."
        )
        raise ValueError(message)
    if n_missing:
        message = (
            f"external_indexing ({sizes} cells) leaves out {n_missing} of {n_cells} cells. Put cells that the training "
            "must not see into the test set: external_indexing=[train, valid, np.setdiff1d(np.arange(adata.n_obs), "
            "np.r_[train, valid])]"
        )
        raise ValueError(message)
    return [cells % n_cells for cells in sets]
