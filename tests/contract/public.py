"""The public names, read from `__all__`, and what their docstrings say."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from typing import TYPE_CHECKING

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Floors whose functions the user calls.
FLOORS = ("datasets", "metrics", "pl", "pp", "tl")


def names(*floors: str, kind: Callable[[object], bool] = inspect.isfunction) -> list[str]:
    """Names like ``"pp.split"`` of every public object of a kind."""
    found = []
    for floor in floors:
        module = importlib.import_module(f"scgauge.{floor}")
        found += [f"{floor}.{name}" for name in module.__all__ if kind(getattr(module, name))]
    return found


def get(name: str) -> Callable:
    floor, _, member = name.partition(".")
    return getattr(importlib.import_module(f"scgauge.{floor}"), member)


def each(*floors: str, kind: Callable[[object], bool] = inspect.isfunction) -> pytest.MarkDecorator:
    """Parametrise a test over the public functions (or classes) of the floors."""
    return pytest.mark.parametrize("name", names(*floors, kind=kind))


def parameters(function: Callable) -> list[str]:
    """Names of the parameters, stars included, without `self` and `cls`."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = inspect.signature(function).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in found if p.name not in {"self", "cls"}]


def documentation(thing: Callable) -> FunctionDoc | ClassDoc:
    return ClassDoc(thing, config={"show_class_members": False}) if inspect.isclass(thing) else FunctionDoc(thing)


def documented(entries: list[Parameter]) -> list[str]:
    """Names of a section; several in one entry are separated by commas."""
    return [name.strip().replace("\\", "") for entry in entries for name in entry.name.split(",")]


def _key(expression: str, arguments: Mapping[str, object]) -> str:
    """Evaluate what stands in the brackets of an entry like ``adata.obs[f"{key_added}_score"]``."""
    node = ast.parse(expression, mode="eval").body
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = ""
    for piece in pieces:
        inner = piece.value if isinstance(piece, ast.FormattedValue) else piece
        if isinstance(inner, ast.Name) and inner.id in arguments:
            text += str(arguments[inner.id])
        elif isinstance(inner, ast.Constant):
            text += str(inner.value)
        else:
            message = f"The key {expression!r} is neither text nor made of arguments."
            raise ValueError(message)
    return text


_ENTRY = re.compile(r"``(?P<root>\w+)\.(?P<slot>obs|var|obsm|varm|obsp|varp|layers|uns)\[(?P<key>.+?)\]``")
#: A line that names what is written: code without indentation, followed by nothing or by a type.
_ENTRIES = re.compile(r"^``[^`]+``(, ``[^`]+``)*(?= : |$)")


def written_keys(
    function: Callable, root: str | None, key_added: str | None, **arguments: object
) -> set[tuple[str, str]]:
    """Slots and keys of `root` (any if None) that the Returns section names, for example ``("obs", "split")``.

    Keys may be made of `key_added` and of other arguments of the call.
    """
    arguments["key_added"] = key_added
    returns = inspect.getdoc(function).split("\nReturns\n-------\n")[1]
    section = re.split(r"\n\n\w+\n-{4,}\n", returns)[0]
    lines = filter(None, map(_ENTRIES.match, section.splitlines()))
    entries = [entry for line in lines for entry in _ENTRY.finditer(line.group())]
    return {(entry["slot"], _key(entry["key"], arguments)) for entry in entries if root in {entry["root"], None}}
