"""Training a model of the same kind again, on other cells or with another seed."""

from __future__ import annotations

from hashlib import sha256
from inspect import signature
from typing import TYPE_CHECKING, Any

from scgauge._core.adapter import shell
from scgauge._core.rng import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

#: Arguments of `train` that name positions of the old cells or hold objects of the old run.
_NOT_KEPT = frozenset({"datamodule", "logger", "callbacks", "ckpt_path"})


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def train_params(train: Callable, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of `train` by name, as far as they are plain data that can be used again."""
    bound = signature(train).bind(*args, **kwargs).arguments
    given = {**bound, **bound.get("trainer_kwargs", {}), **bound.get("kwargs", {})}
    for name in ("trainer_kwargs", "kwargs", *_NOT_KEPT):
        given.pop(name, None)
    options = given.get("datasplitter_kwargs")
    if isinstance(options, dict):
        given["datasplitter_kwargs"] = {key: value for key, value in options.items() if key != "external_indexing"}
    return {name: value for name, value in given.items() if _is_plain(value)}


def describe_run(model: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what tells one training run from others, as plain data: model, cells, genes, arguments."""
    given = {kind: {**values} for kind, values in model.init_params_.items()}
    network = {**given.get("non_kwargs", {}), **given.get("kwargs", {}).get("kwargs", given.get("kwargs", {}))}
    genes = "\n".join(map(str, model.get_var_names())) if model.adata is not None else ""
    return {
        "model": type(model).__name__,
        "cells": -1 if model.adata is None else int(model.adata.n_obs),
        "genes": sha256(genes.encode()).hexdigest()[:16],
        **{name: repr(value) for name, value in (network | parameters).items() if _is_plain(value)},
    }


def refit(model: Any, adata: AnnData, *, seed: int) -> Any:
    """Set up, build and train a model of the same class with the same arguments on other cells.

    A split that named cells (``external_indexing``), loggers, callbacks and data modules are not repeated. No global
    state is left changed, and `adata` takes no notes of scvi-tools.

    Parameters
    ----------
    model
        Trained model of scgauge.
    adata
        Cells with the genes and the columns that `model` was set up with.
    seed
        Seed of weights, minibatches and split.

    Raises
    ------
    TypeError
        If the model does not know how it was trained.
    """
    parameters = getattr(model, "train_params_", None)
    if parameters is None:
        message = (
            f"{type(model).__name__} does not know how it was trained. Pass a trained model of scgauge, or a function "
            "that takes (adata, seed) and returns a trained model."
        )
        raise TypeError(message)
    cells = shell(adata)
    setup = getattr(type(model), model.registry_.get("setup_method_name", "setup_anndata"))
    arguments = model.init_params_
    with seeded(seed):
        setup(cells, **model.registry_["setup_args"])
        again = type(model)(cells, **arguments["non_kwargs"], **arguments["kwargs"].get("kwargs", arguments["kwargs"]))
        again.train(**{"enable_progress_bar": False, **parameters})
    return again
