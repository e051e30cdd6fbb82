"""Whether a function met a fault as it should: with an error of its own that changes nothing, or with a result."""

from __future__ import annotations

import contextlib
import inspect
import io
import linecache
import re
import signal
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch
from anndata import AnnData
from contract.state import contents, keys
from faults.fault import Fault, Refused
from scvi.model.base import BaseModelClass

import scgauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from faults.targets import Target

_ROOT = str(Path(scgauge.__file__).parent)
#: What functions may raise; `RuntimeError` is what untrained models and diverged training raise.
_DOCUMENTED = (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, ImportError, FileNotFoundError)
#: Seconds of computing, and of waiting, after which a call counts as hanging; a busy machine makes every call wait.
LIMIT, PATIENCE = 30, 1800
#: Slack of results from the same numbers in another type or order.
_RTOL, _ATOL = 2e-3, 2e-4


@dataclass(frozen=True)
class Outcome:
    """What happened.

    Attributes
    ----------
    kind
        ``"works"``, ``"error"``, ``"refused"`` (by AnnData, before the call) or ``"failure"``.
    detail
        Message, or what is wrong.
    seconds
        Time of the call.
    """

    kind: str
    detail: str
    seconds: float = 0.0


def _is_ours(error: BaseException) -> bool:
    """Whether scgauge raised this, in words of its own."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    path = trace.tb_frame.f_code.co_filename
    return path.startswith(_ROOT) and linecache.getline(path, trace.tb_lineno).lstrip().startswith("raise")


def _bytes(weights: dict[str, Any]) -> dict[str, bytes]:
    tensors = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    return {name: tensor.detach().cpu().numpy().tobytes() for name, tensor in tensors.items()}


def _read(value: Any) -> Any:
    """Contents of anything, also of what is read from disk or computed later."""
    if isinstance(value, AnnData):
        if value.isbacked or hasattr(value.X, "compute"):
            adata = value.to_memory() if value.isbacked else value.copy()
            adata.X = adata.X.compute() if hasattr(adata.X, "compute") else adata.X
            value = adata
        found = contents(value)
        for slot in ("obs", "uns", "obsm"):
            found[slot] = {key: item for key, item in found[slot].items() if not str(key).startswith("_scvi")}
        return found
    if isinstance(value, BaseModelClass):
        return {"cells": _read(value.adata), "weights": _bytes(value.module.state_dict())}
    if isinstance(value, h5py.Dataset):
        return contents(value[:])
    if hasattr(value, "compute"):
        return contents(value.compute())
    if isinstance(value, list | tuple):
        return [_read(item) for item in value]
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, type) or callable(value):
        return repr(type(value))
    return contents(value)


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All leaves of contents with the way to them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _numbers(item, f"{path}[{position}]")
    else:
        yield path, value


def _first_difference(found: Any, expected: Any) -> str | None:
    """Way to the first leaf that differs."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected.keys() | found.keys():
            if key not in found or key not in expected:
                return f"{key} is in one only"
            difference = _first_difference(found[key], expected[key])
            if difference:
                return f"{key}: {difference}"
        return None
    if isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            return f"{len(found)} for {len(expected)} items"
        pairs = enumerate(zip(found, expected, strict=True))
        return next((f"[{i}]: {text}" for i, pair in pairs if (text := _first_difference(*pair))), None)
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return None if np.isclose(found, expected, rtol=_RTOL, atol=_ATOL) else f"{found} for {expected}"
    if isinstance(expected, str | bytes | None) or isinstance(found, str | bytes | None):
        return None if found == expected else f"{found!r} for {expected!r}"
    return None if type(found) is type(expected) else f"{type(found).__name__} for {type(expected).__name__}"


def _is_bad(leaf: Any) -> bool:
    return leaf == "missing" or (isinstance(leaf, float) and not np.isfinite(leaf))


def _n_bad(value: Any) -> int:
    return sum(_is_bad(leaf) for _, leaf in _numbers(value))


#: Parts of results that repeat what was given, names and arguments.
_REPEATED = frozenset({"index", "obs_names", "var_names", "params", "cell", "source_cell"})


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_names(item) for key, item in value.items() if key not in _REPEATED}
    return [_without_names(item) for item in value] if isinstance(value, list) else value


class Result(NamedTuple):
    """What a call gave: its parts as plain data, and the type that came back."""

    parts: dict[str, Any]
    type: type


def _run(target: Target, args: list, kwargs: dict[str, Any]) -> Result:
    """Call, and return what came back and what was written."""
    before = [keys(item) if isinstance(item, AnnData) else set() for item in args]
    returned = target.function(*args, **kwargs)
    written = {}
    for position, (item, old) in enumerate(zip(args, before, strict=True)):
        if isinstance(item, AnnData):
            new = {f"{slot}:{key}": getattr(item, slot)[key] for slot, key in sorted(keys(item) - old)}
            written[str(position)] = {name: value for name, value in new.items() if ":_scvi" not in name}
    return Result(_without_names({"returned": _read(returned), "written": _read(written)}), type(returned))


class _Hangs(BaseException):
    """The call took longer than `LIMIT`."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _Hangs


@contextlib.contextmanager
def _quiet(limit: float = LIMIT) -> Iterator[None]:
    before = [signal.signal(number, _stop) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, limit)
    signal.setitimer(signal.ITIMER_REAL, limit / LIMIT * PATIENCE)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])
        plt.close("all")


def clean(target: Target) -> Result:
    """What the unchanged call gives."""
    args, kwargs = target.fresh()
    with _quiet(10 * LIMIT):  # it compiles what the calls after it take
        return _run(target, args, kwargs)


def attempt(target: Target, slot: int | str, fault: Fault, expected: Result) -> Outcome:
    """Call a function with one changed input and judge what happens."""
    args, kwargs = target.fresh()
    place: Any = args if isinstance(slot, int) else kwargs
    value = place[slot] if isinstance(slot, int) or slot in kwargs else target.default(slot)
    with _quiet():
        try:
            place[slot] = fault.apply(value)
        except Refused as refused:
            return Outcome("refused", str(refused))
        before = _read([args, kwargs])
    start = time.perf_counter()
    try:
        with _quiet():
            found = _run(target, args, kwargs)
    except _Hangs:
        return Outcome("failure", f"hangs for {LIMIT} s", LIMIT)
    except Exception as error:  # noqa: BLE001 - judging any error is the purpose
        seconds = time.perf_counter() - start
        text = f"{type(error).__name__}: {str(error)[:200]}"
        if not isinstance(error, _DOCUMENTED) or not _is_ours(error):
            return Outcome("failure", f"foreign error, {text}", seconds)
        with _quiet():
            changed = _first_difference(_read([args, kwargs]), before)
        kind, text = ("failure", f"changed {changed} before {text}") if changed else ("error", text)
        return Outcome(kind, text, seconds)
    return _judge(target, found, expected, fault, time.perf_counter() - start)


def _documents_nan(target: Target, returned: list[type]) -> bool:
    """Whether the documentation of the function, or of what it returns, says where values are not finite."""
    function = getattr(target.function, "func", target.function)
    return any(
        re.search("NaN|nfinite", inspect.getdoc(thing) or "") for thing in (function, target.function, *returned)
    )


def _judge(target: Target, found: Result, expected: Result, fault: Fault, seconds: float) -> Outcome:
    if fault.same and (difference := _first_difference(found.parts, expected.parts)):
        return Outcome("failure", f"another result, {difference[:200]}", seconds)
    n_bad = _n_bad(found.parts)
    if n_bad > 0 and _n_bad(expected.parts) == 0 and not _documents_nan(target, [found.type]):
        where = next(way for way, leaf in _numbers(found.parts) if _is_bad(leaf))
        return Outcome("failure", f"not finite, {n_bad} values, first {where}", seconds)
    return Outcome("works", "", seconds)
