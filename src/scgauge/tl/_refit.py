from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scgauge._core.adapter import shell
from scgauge._core.rng import seeded
from scgauge.model._refit import refit

if TYPE_CHECKING:
    from anndata import AnnData


def fit_again(fit: Any, adata: AnnData, seed: int) -> Any:
    """Train a model on other cells: one of the same kind as a given one, or what a function makes of them.

    Parameters
    ----------
    fit
        A model of scgauge, whose arguments are used again, or a function of the cells and a seed.
    adata
        Cells to train on; nothing is written into them.
    seed
        Seed of everything random in the training.

    Returns
    -------
    A trained model, or what the function returns.

    Raises
    ------
    TypeError
        If `fit` is neither a function nor a model that knows how it was trained.
    """
    with warnings.catch_warnings():
        # Among a part of the cells, which the user did not choose, some genes have no count.
        warnings.filterwarnings("ignore", message=r"\d+ of \d+ genes have no count in any cell", category=UserWarning)
        if hasattr(fit, "init_params_") or not callable(fit):
            return refit(fit, adata, seed=seed)
        with seeded(seed):
            return fit(shell(adata), seed)
