from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from scgauge._core.matrix import row_sums
from scgauge.train import library_prior

if TYPE_CHECKING:
    from scvi.data import AnnDataManager


def library_prior_of(manager: AnnDataManager, n_batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the log library size of each batch, ``(1, n_batch)``, of registered data."""
    log_library = np.log(row_sums(manager.get_from_registry(REGISTRY_KEYS.X_KEY)))
    rows = np.asarray(manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel().astype(int)
    sums = [
        torch.as_tensor(np.bincount(rows, weights=weights, minlength=n_batch))
        for weights in (np.ones_like(log_library), log_library, log_library**2)
    ]
    means, variances = library_prior(*sums)
    return means.numpy(), variances.numpy()
