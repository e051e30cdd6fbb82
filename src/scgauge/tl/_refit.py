from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scgauge._core.adapter import shell
from scgauge._core.rng import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def refit(model: Any, adata: AnnData, seed: int) -> Any:
    """Train a model of the same kind on other cells, with everything else as it was.

    Parameters
    ----------
    model
        A model of scgauge (its arguments are used again), or a function of the cells and a seed that returns a trained
        model.
    adata
        Cells to train on; nothing is written into them.
    seed
        Seed of everything random in the training.

    Raises
    ------
    TypeError
        If `model` is neither.
    RuntimeError
        If a model has not been trained.
    """
    cells = shell(adata)
    if not hasattr(model, "init_params_"):
        if not callable(model):
            message = f"`model` is {type(model).__name__}; pass a trained model or a function fit(adata, seed)."
            raise TypeError(message)
        return _trained(model, cells, seed)
    if getattr(model, "train_params_", None) is None:
        message = (
            f"The {type(model).__name__} model does not know how it was trained. Run: model.train(), or pass a "
            "function fit(adata, seed) that returns a trained model."
        )
        raise RuntimeError(message)
    setup = {key: value for key, value in model.registry_["setup_args"].items() if value is not None}
    with seeded(seed):
        type(model).setup_anndata(cells, **setup)
        fresh = type(model)(cells, **model.init_params_["non_kwargs"])
        fresh.train(**model.train_params_)
    return fresh


def _trained(fit: Callable[[AnnData, int], Any], cells: AnnData, seed: int) -> Any:
    with seeded(seed):
        return fit(cells, seed)
