"""Calls of every model class: registration, training and each getter on cells."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from contract.calls import binary, cells, normalised
from contract.time_calls import snapshots

import scgauge
from scgauge._core.rng import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData


@dataclass(frozen=True)
class Recipe:
    """How a model is made.

    Attributes
    ----------
    cells
        Makes cells.
    setup, network, training
        Arguments of ``setup_anndata``, of the class and of ``train``.
    getters
        Arguments of getters that need some.
    refused
        Getters that this kind of model refuses.
    """

    cells: Callable[[], AnnData]
    setup: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    getters: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


_SMALL = {"n_latent": 2, "n_hidden": 8}
_TIMES = {"times": [0.5, 1.0]}
#: Of count models: their library is observed, and few draws do.
_OBSERVED = {"get_latent_library_size": {"give_mean": False}, "get_marginal_ll": {"n_mc_samples": 10}}


def visits() -> AnnData:
    """Eight subjects at five times."""
    adata = cells()
    adata.obs["time"] = np.repeat(np.arange(5.0), 8)
    return adata


def with_picture() -> AnnData:
    adata = cells()
    adata.obsm["X_latent"] = adata.obsm["X_latent"][:, :2]
    return adata


RECIPES = {
    "CountVI": Recipe(cells, {"batch_key": "batch", "labels_key": "group"}, _SMALL, {}, _OBSERVED),
    "LinearVI": Recipe(cells, {"batch_key": "batch"}, _SMALL, {}, _OBSERVED),
    "BayesianLinearVI": Recipe(cells, {"batch_key": "batch"}, _SMALL, {}, _OBSERVED),
    "ODEVI": Recipe(
        snapshots,
        {"time_key": "time"},
        _SMALL,
        {"plan_kwargs": {"n_flow_steps": 2}},
        _OBSERVED | {"get_trajectories": _TIMES, "get_group_trajectories": _TIMES},
        {"get_bands", "get_similar_subjects"},
    ),
    "ODEVI of subjects": Recipe(
        visits,
        {"time_key": "time", "subject_key": "subject"},
        _SMALL,
        {},
        _OBSERVED
        | {
            "get_trajectories": _TIMES,
            "get_bands": _TIMES | {"n_samples": 3},
            "get_similar_subjects": {"n_similar": 2},
        },
        {"get_groups", "get_group_trajectories"},
    ),
    "Autoencoder": Recipe(normalised, {}, _SMALL, {}, {"get_interpolation": {"start": "cell0", "end": "cell1"}}),
    "DeepBoltzmannMachine": Recipe(
        binary,
        {"layer": "binary"},
        {"n_hidden": [4, 3], "n_particles": 5, "n_gibbs_steps": 3},
        {},
        {"get_log_partition": {"n_chains": 5, "n_temperatures": 10}},
    ),
    "SupervisedVI": Recipe(with_picture, {}, {**_SMALL, "basis": "X_latent"}, {"n_epochs_encoder": 1}, _OBSERVED),
}
#: Getters of scvi-tools' own bookkeeping, and one of a step within another.
NOT_TRIED = frozenset(
    {
        "get_anndata_manager",
        "get_from_registry",
        "get_importance_weights",
        "get_setup_arg",
        "get_state_registry",
        "get_var_names",
    }
)


def class_of(name: str) -> type:
    return getattr(scgauge.model, name.partition(" ")[0])


def _build(name: str, adata: AnnData, **network: Any) -> Any:
    model_class = class_of(name)
    model_class.setup_anndata(adata, **RECIPES[name].setup)
    return model_class(adata, **network)


def _fit(name: str, adata: AnnData, **network: Any) -> dict[str, Any]:
    """Train for one epoch; the latent points and the losses."""
    with seeded(0):
        model = _build(name, adata, **network)
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu", **RECIPES[name].training)
        history = {key: table.to_numpy(dtype=float) for key, table in model.history.items() if "time" not in key}
        return {"latent": np.asarray(model.get_latent_representation()), "history": history}


@cache
def trained(name: str) -> Any:
    """A model trained just enough to be asked."""
    recipe = RECIPES[name]
    with seeded(0):
        model = _build(name, recipe.cells(), **recipe.network)
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu", **recipe.training)
    return model


def _ask(name: str, getter: str, *args: Any, **kwargs: Any) -> Any:
    with seeded(0):
        return getattr(trained(name), getter)(*args, **kwargs)


def _getters(name: str) -> Iterator[str]:
    model_class = class_of(name)
    for getter in dir(model_class):
        if getter.startswith("get_") and getter not in NOT_TRIED and callable(getattr(model_class, getter)):
            yield getter


def calls() -> Iterator[tuple]:
    """Arguments of a target for everything that models do with cells."""
    for name, recipe in RECIPES.items():
        yield f"model.{name}.setup_anndata", class_of(name).setup_anndata, _data(name), recipe.setup, True
        yield f"model.{name}.train", partial(_fit, name), _data(name), recipe.network, True
        for getter in sorted(set(_getters(name)) - recipe.refused):
            function = getattr(class_of(name), getter)
            takes_cells = "adata" in inspect.signature(function).parameters
            own = function.__module__.startswith("scgauge")
            ask = partial(_ask, name, getter)
            ask.__doc__ = function.__doc__
            ask.__signature__ = _without_self(function)
            data = _data(name) if takes_cells else tuple
            seeded_call = {"rng": 0} if "rng" in ask.__signature__.parameters else {}
            kwargs = seeded_call | recipe.getters.get(getter, {})
            if takes_cells or (own and len(ask.__signature__.parameters)):
                yield f"model.{name}.{getter}", ask, data, kwargs, own


def _without_self(function: Callable) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])


@cache
def _data(name: str) -> Callable[[], tuple]:
    return lambda: (RECIPES[name].cells(),)
