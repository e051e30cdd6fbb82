"""One check of arguments for every public function: their values against the types in its signature."""

from __future__ import annotations

import ast
import inspect
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

import numpy as np
import pandas as pd

from scgauge._core.rng import SEED_WORDS, is_seed

#: In a signature: a number that may be infinite, which others may not.
InfiniteFloat: TypeAlias = float


class _Kind(NamedTuple):
    """What an argument may be: a test of its value, and how it reads after "needed"."""

    fits: Callable[[Any], bool]
    words: str
    #: Whether arrays and Series, whose items have other names than their positions, are passed on as lists.
    listed: bool = False
    #: Which numbers, where the argument is a number and nothing else: a test of the value, and how it reads.
    which: tuple[Callable[[Any], Any], str] | None = None


def _described(value: Any) -> str:
    """Words for a value; models print themselves where others return text, and are named by their class."""
    if type(value).__module__.partition(".")[0] in {"builtins", "numpy", "pandas"}:
        return reprlib.repr(value)
    return f"<{type(value).__name__}>"


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _is_not_nan(value: float) -> bool:
    return not np.isnan(value)


_KINDS = {
    "int": _Kind(_is_integer, "an integer"),
    "float": _Kind(_is_number, "a number", which=(np.isfinite, "a finite number")),
    "InfiniteFloat": _Kind(_is_number, "a number", which=(_is_not_nan, "a number other than NaN")),
    "str": _Kind(lambda value: isinstance(value, str), "a string"),
    "bool": _Kind(lambda value: isinstance(value, bool | np.bool_), "True or False"),
    "None": _Kind(lambda value: value is None, "None"),
    "RNG": _Kind(is_seed, SEED_WORDS),
    "Path": _Kind(lambda value: isinstance(value, Path), "a path"),
    "np.ndarray": _Kind(lambda value: isinstance(value, np.ndarray), "an array"),
    "pd.Series": _Kind(lambda value: isinstance(value, pd.Series), "a Series"),
    "pd.DataFrame": _Kind(lambda value: isinstance(value, pd.DataFrame), "a data frame"),
}
_ANYTHING = _Kind(lambda _: True, "anything")
_MANY = {"int": "integers", "float": "numbers", "str": "strings"}


def _sequence(item: _Kind, words: str) -> _Kind:
    def fits(value: Any) -> bool:
        if isinstance(value, str | bytes | Mapping | pd.DataFrame) or not isinstance(value, Iterable):
            return False
        return all(item.fits(entry) for entry in value)

    return _Kind(fits, words, listed=item is not _ANYTHING)


def _choices(values: tuple) -> _Kind:
    types = tuple({type(value) for value in values})
    # Which strings are known is for the function to say, in its own words.
    return _Kind(lambda value: isinstance(value, types), "one of " + ", ".join(map(repr, values)))


def _alias(name: str, names: Mapping[str, Any]) -> _Kind | None:
    """Return what a name for a choice of values allows; ``None`` for other names."""
    found = names.get(name)
    return _choices(get_args(found)) if get_origin(found) is Literal else None


def _subscript(node: ast.Subscript, names: Mapping[str, Any]) -> _Kind | None:
    outer = ast.unparse(node.value).rpartition(".")[2]
    if outer == "Literal":
        values = ast.literal_eval(node.slice)
        return _choices(values if isinstance(values, tuple) else (values,))
    if outer in {"Sequence", "list"}:
        inner = ast.unparse(node.slice)
        item = _KINDS[inner] if inner in _MANY else _alias(inner, names)
        if item is not None:
            return _sequence(item, f"a list of {_MANY.get(inner, item.words)}")
        return None if inner == "Axes" else _sequence(_ANYTHING, "a list")
    if outer == "tuple" and isinstance(node.slice, ast.Tuple):
        items = {ast.unparse(item) for item in node.slice.elts}
        length = len(node.slice.elts)
        if len(items) == 1 and items <= _MANY.keys():
            name = items.pop()
            several = _sequence(_KINDS[name], f"{length} {_MANY[name]}")
            return several._replace(fits=lambda value: several.fits(value) and len(value) == length)
    if outer in {"Mapping", "dict"}:
        return _Kind(lambda value: isinstance(value, Mapping), "a dictionary")
    return None


def _kind(node: ast.expr, names: Mapping[str, Any], *, alone: bool = False) -> _Kind | None:
    """Return what one alternative of an annotation allows; ``None`` if this check does not know it."""
    if isinstance(node, ast.Subscript):
        return _subscript(node, names)
    name = ast.unparse(node)
    if name == "pd.DataFrame" and alone:  # its columns are for the function to name
        return None
    if name in _KINDS:
        return _KINDS[name]
    return _alias(name, names)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _alternatives(node.left) + _alternatives(node.right)
    return [node]


def _check_of(annotation: Any, names: Mapping[str, Any]) -> _Kind | None:
    """Return the check of a parameter, ``None`` where one of its types is beyond this check."""
    if not isinstance(annotation, str) or annotation == "bool":  # any value has a truth
        return None
    nodes = _alternatives(ast.parse(annotation, mode="eval").body)
    kinds = [_kind(node, names, alone=len(nodes) == 1) for node in nodes]
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    others = [kind for kind in known if kind is not _KINDS["None"]]
    return _Kind(
        lambda value: any(kind.fits(value) for kind in known),
        " or ".join(kind.words for kind in known),
        any(kind.listed for kind in known),
        others[0].which if len(others) == 1 else None,
    )


def checked(function: FunctionType) -> Callable:
    """Return a function that first compares its arguments with the types in the signature.

    Numbers, strings, seeds, choices, lists of numbers or strings and dictionaries are compared; what else a parameter
    may be (cells, matrices, labels, models) is for the function to check.

    Raises
    ------
    TypeError
        Naming the argument, its value and what is needed; raised by the returned function.
    ValueError
        For a number that is NaN, infinite or a fraction in the place of an integer, likewise.
    """
    signature = inspect.signature(function)
    checks = {
        name: check
        for name, parameter in signature.parameters.items()
        if (check := _check_of(parameter.annotation, function.__globals__)) is not None
    }

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in {**dict(zip(signature.parameters, args, strict=False)), **kwargs}.items():
            check = checks.get(name)
            if check is None:
                continue
            if not check.fits(value):
                message = f"{name}={_described(value)} was given; {check.words} is needed."
                # A fraction in the place of an integer is a number of the wrong value.
                raise ValueError(message) if _is_number(value) and "integer" in check.words else TypeError(message)
            if check.which is not None and value is not None:
                is_one, words = check.which
                if not is_one(value):
                    message = f"{name}={value} was given; {words} is needed."
                    raise ValueError(message)
            if check.listed and name in kwargs and isinstance(value, pd.Series | pd.Index | np.ndarray):
                kwargs[name] = value.tolist()
        return function(*args, **kwargs)

    return call


def check_arguments(module: str) -> None:
    """Put `checked` before every function that a module makes public.

    Parameters
    ----------
    module
        Name of an imported module with ``__all__``.
    """
    public = sys.modules[module]
    for name in public.__all__:
        function = getattr(public, name)
        if isinstance(function, FunctionType):
            call = checked(function)
            setattr(public, name, call)
            # Where it is found by its name and module: pickle compares both, and doctest runs what it finds there.
            setattr(sys.modules[function.__module__], name, call)


def check_methods(model_class: type) -> None:
    """Put `checked` before the set-up and every getter that a model class has from scgauge; others stay as they are.

    Parameters
    ----------
    model_class
        Class of models.
    """
    for name in dir(model_class):
        method = inspect.getattr_static(model_class, name)
        if name.startswith("get_") and isinstance(method, FunctionType) and method.__module__.startswith("scgauge"):
            setattr(model_class, name, checked(method))
    setup = inspect.getattr_static(model_class, "setup_anndata")
    model_class.setup_anndata = classmethod(checked(setup.__func__))  # type: ignore[attr-defined]
