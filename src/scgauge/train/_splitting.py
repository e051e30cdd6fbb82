from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scvi import settings
from scvi.dataloaders import DataSplitter

if TYPE_CHECKING:
    from scvi.data import AnnDataManager


class CellSplitter(DataSplitter):
    """scvi-tools' splitter of cells into training, validation and test sets, safe for a lone last cell.

    Batch norm cannot normalise a minibatch of one cell. Where the last minibatch of an epoch would have one, it is
    left out; the cells are shuffled, so that each epoch leaves out another.

    Parameters
    ----------
    adata_manager
        Registered data.
    **kwargs
        Passed to :class:`scvi.dataloaders.DataSplitter`.

    Raises
    ------
    ValueError
        If there are fewer than two cells to train on, or one cell in a minibatch.
    """

    def __init__(self, adata_manager: AnnDataManager, **kwargs: Any) -> None:
        n_cells = adata_manager.adata.n_obs
        if n_cells < 2:
            message = f"Found {n_cells} cell; training needs at least 2."
            raise ValueError(message)
        batch_size = kwargs.get("batch_size") or settings.batch_size
        if batch_size < 2:
            message = f"batch_size={batch_size} was given; batch norm needs minibatches of at least 2 cells."
            raise ValueError(message)
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
