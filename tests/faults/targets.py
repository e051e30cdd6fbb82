"""What is tried: every public function and model, with a call that works, and each of its inputs in turn."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from contract.calls import cells
from contract.public import get, names
from contract.table import CALLS
from faults import model_calls
from faults.cells_faults import cells_faults
from faults.fault import Fault
from faults.value_faults import (
    array_faults,
    labels_faults,
    mapping_faults,
    name_faults,
    number_faults,
    object_faults,
    table_faults,
)
from scipy import sparse
from scvi.model.base import BaseModelClass

import scgauge
from scgauge.tl import _fidelity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Arguments that are not part of what a function computes, or whose values start processes.
_NOT_TRIED = frozenset({"progress", "copy", "show", "return_fig", "ax", "n_jobs", "block_size", "block_rows", "device"})


@dataclasses.dataclass(frozen=True)
class Target:
    """A function with arguments that work.

    Attributes
    ----------
    name
        Name in the tally.
    function
        What is called.
    make
        Makes positional arguments.
    kwargs
        Keyword arguments.
    values
        Whether arguments other than data are tried, too: those of methods that scvi-tools defines are its own.
    """

    name: str
    function: Callable
    make: Callable[[], tuple]
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    values: bool = True

    def __hash__(self) -> int:
        return hash(self.name)

    def fresh(self) -> tuple[list, dict[str, Any]]:
        """Arguments that may be changed."""
        return [fresh(item) for item in _made(self)], {key: fresh(value) for key, value in self.kwargs.items()}

    def default(self, name: str) -> Any:
        """Value of an argument that the call leaves out."""
        return inspect.signature(self.function).parameters[name].default

    def slots(self) -> Iterator[tuple[int | str, Any]]:
        """Inputs to change: positions and names, with their values."""
        yield from enumerate(_made(self))
        given = dict(self.kwargs)
        if self.values:
            for name, parameter in inspect.signature(self.function).parameters.items():
                if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
                    given.setdefault(name, parameter.default)
        yield from ((name, value) for name, value in given.items() if name not in _NOT_TRIED)

    def faults(self) -> Iterator[tuple[int | str, Fault]]:
        """All faults of all inputs."""
        used = set(_words([self.kwargs, list(_made(self)[1:]), _defaults(self.function)]))
        if any(isinstance(item, BaseModelClass) for item in _made(self)):
            used |= {"batch", "time"}
        for slot, value in self.slots():
            if isinstance(slot, int) or self.values or isinstance(value, AnnData):
                yield from ((slot, fault) for fault in faults_of(slot, value, used))


@cache
def _made_once(make: Callable[[], tuple]) -> tuple:
    return make()


def _made(target: Target) -> tuple:
    return _made_once(target.make)


def _defaults(function: Callable) -> list[Any]:
    found = inspect.signature(function).parameters.values()
    return [parameter.default for parameter in found if isinstance(parameter.default, str | tuple)]


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _words(key)
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def fresh(value: Any) -> Any:
    """Return a copy of data; models, which no call may change, stay the same object."""
    if isinstance(value, AnnData):
        return value.copy()
    if isinstance(value, BaseModelClass) or callable(value):
        return value
    return copy.deepcopy(value)


@cache
def _untrained() -> scgauge.model.CountVI:
    adata = cells()
    scgauge.model.CountVI.setup_anndata(adata)
    return scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)


@cache
def _boltzmann() -> scgauge.model.DeepBoltzmannMachine:
    return model_calls.trained("DeepBoltzmannMachine")


_MODELS = [
    Fault("None", lambda _: None),
    Fault("cells", lambda _: cells()),
    Fault("the class", type),
    Fault("untrained model", lambda _: _untrained()),
    Fault("model of another kind", lambda _: _boltzmann()),
]


_FUNCTIONS = [
    Fault("None", lambda _: None),
    Fault("text", lambda _: "fit"),
    Fault("function that returns None", lambda _: lambda *_args, **_kwargs: None),
    Fault("function that returns an untrained model", lambda _: lambda *_args, **_kwargs: _untrained()),
]


_SEEDS = [
    Fault("text", lambda _: "seed"),
    Fault("a fraction", lambda _: 0.5),
    Fault("negative", lambda _: -1),
    Fault("a legacy state", lambda _: np.random.RandomState(0)),
]


def faults_of(slot: int | str, value: Any, used: set[str]) -> Iterator[Fault]:
    """Faults that suit the type of an input."""
    if slot == "rng":
        yield from _SEEDS
    elif isinstance(value, AnnData):
        yield from cells_faults(value, used)
    elif isinstance(value, BaseModelClass):
        yield from _MODELS
    elif isinstance(value, pd.DataFrame):
        yield from table_faults(value)
    elif isinstance(value, pd.Series | pd.Categorical) or (isinstance(value, np.ndarray) and value.dtype.kind in "OU"):
        yield from labels_faults(value)
    elif isinstance(value, np.ndarray | torch.Tensor) or sparse.issparse(value):
        yield from array_faults(value)
    elif isinstance(value, dict):
        yield from mapping_faults(value)
    elif isinstance(value, list | tuple):
        yield from labels_faults(value) if all(np.isscalar(item) for item in value) else object_faults(value)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield from number_faults(value)
    elif isinstance(value, str) or slot in {"layer", "key_added", "groupby", "use_rep"}:
        yield from name_faults(value)
    elif value is None:
        yield from object_faults(value)
    elif callable(value):
        yield from _FUNCTIONS
    else:
        yield from object_faults(value)


def _functions() -> Iterator[Target]:
    for name in names("metrics", "pl", "pp", "tl"):
        call = CALLS[name]
        kwargs = dict(call.kwargs) | ({"show": False} if name.startswith("pl.") else {})
        yield Target(name, get(name), call.data, kwargs)


@contextmanager
def quick_scores() -> Iterator[None]:
    """Leave the classifiers out of scoreboards, where they take most of the time; they are a target of their own."""
    kept = _fidelity.PROPERTIES
    _fidelity.PROPERTIES = tuple(item for item in kept if item.name != "classifier")
    try:
        yield
    finally:
        _fidelity.PROPERTIES = kept


@cache
def targets() -> dict[str, Target]:
    """All targets by name."""
    found = [*_functions(), *(Target(*arguments) for arguments in model_calls.calls())]
    return {target.name: target for target in found}
