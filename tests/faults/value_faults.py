"""Faults of arrays, labels, tables, numbers and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from faults.fault import KINDS, VALUES, Fault, dense
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STRANGE = [
    Fault("None", lambda _: None),
    Fault("text", lambda _: "text"),
    Fault("an object", lambda _: object()),
    Fault("a dictionary", lambda _: {"a": 1}),
    Fault("no items", lambda _: []),
]


def array_faults(value: Any) -> Iterator[Fault]:
    """Faults of a numeric array or sparse matrix."""
    yield from _STRANGE
    two_axes = np.ndim(value) == 2 or sparse.issparse(value)
    small = {"np.matrix", "lil_matrix", "unsorted csr", "csr with stored zeros", "csr with repeated entries"}
    for name, convert in KINDS.items():
        is_sparse = "csr" in name or "cs" in name[:3] or "coo" in name or name in small
        if two_axes or not is_sparse:
            yield Fault(name, lambda x, convert=convert: convert(dense(x)), same=True)
    if two_axes:
        yield Fault("data frame", lambda x: pd.DataFrame(dense(x)), same=True)
    yield Fault("list", lambda x: dense(x).tolist(), same=True)
    yield Fault("tensor", lambda x: torch.as_tensor(dense(x)), same=True)
    for name, change in VALUES.items():
        yield Fault(name, lambda x, change=change: change(dense(x)))
    shapes: dict[str, Callable[[np.ndarray], Any]] = {
        "no rows": lambda x: x[:0],
        "one row": lambda x: x[:1],
        "two rows": lambda x: x[:2],
        "no columns": lambda x: x[..., :0],
        "one column": lambda x: x[..., :1],
        "one axis more": lambda x: x[..., None],
        "one axis less": lambda x: x[0],
        "a number": lambda x: float(np.ravel(x)[0]),
        "object with None": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 0, None, x.astype(object)),
    }
    for name, change in shapes.items():
        yield Fault(name, lambda x, change=change: change(dense(x)))


def labels_faults(_: Any) -> Iterator[Fault]:
    """Faults of one label for each row, or of a list of names."""
    yield from _STRANGE
    same: dict[str, Callable[[list], Any]] = {
        "array": lambda names: np.array(names),
        "objects": lambda names: np.array(names, dtype=object),
        "Series of text": lambda names: pd.Series(names, dtype="string"),
        "unused categories": lambda names: pd.Categorical(names, categories=[*dict.fromkeys(names), "never"]),
        "index from 5": lambda names: pd.Series(names, index=np.arange(len(names)) + 5),
        "a tuple": tuple,
    }
    other: dict[str, Callable[[list], Any]] = {
        "one too few": lambda names: names[:-1],
        "one too many": lambda names: [*names, names[0]],
        "None among them": lambda names: [None, *names[1:]],
        "NaN among them": lambda names: [np.nan, *names[1:]],
        "a list among them": lambda names: [["a"], *names[1:]],
        "all equal": lambda names: [names[0]] * len(names),
        "all different": lambda names: [f"{name}{i}" for i, name in enumerate(names)],
        "unicode": lambda names: [f"ä/{name}" for name in names],
        "two axes": lambda names: np.array([names, names], dtype=object),
        "numbers": lambda names: list(range(len(names))),
    }
    for name, change in same.items():
        yield Fault(name, lambda x, change=change: change(list(x)), same=True)
    for name, change in other.items():
        yield Fault(name, lambda x, change=change: change(list(x)))


def table_faults(table: pd.DataFrame) -> Iterator[Fault]:
    """Faults of a tidy table."""
    yield from _STRANGE
    yield Fault("read-only", lambda x: _read_only(x), same=True)
    yield Fault("index of text", lambda x: x.set_axis([f"r{i}" for i in range(len(x))]), same=False)
    yield Fault("repeated index", lambda x: x.set_axis(["r"] * len(x)))
    yield Fault("no rows", lambda x: x.iloc[:0])
    yield Fault("one row", lambda x: x.iloc[:1])
    yield Fault("no columns", lambda x: x.iloc[:, :0])
    yield Fault("an array", lambda x: x.to_numpy())
    for column in table.columns[:12]:
        yield Fault(f"without {column}", lambda x, column=column: x.drop(columns=column))
        if table[column].dtype.kind in "iuf":
            numbers = {"NaN": np.nan, "infinite": np.inf, "huge": 1e30}
            for name, value in numbers.items():
                yield Fault(
                    f"{column}: {name}",
                    lambda x, c=column, v=value: x.assign(**{c: x[c].astype(float).where(np.arange(len(x)) > 0, v)}),
                )
            yield Fault(f"{column}: all NaN", lambda x, c=column: x.assign(**{c: np.nan}))
        else:
            yield Fault(f"{column}: missing", lambda x, c=column: x.assign(**{c: None}))
            yield Fault(f"{column}: numbers", lambda x, c=column: x.assign(**{c: 1}))
            yield Fault(f"{column}: categories", lambda x, c=column: x.assign(**{c: x[c].astype("category")}))


def _read_only(table: pd.DataFrame) -> pd.DataFrame:
    columns = {name: table[name].to_numpy(copy=True) for name in table}
    for array in columns.values():
        array.setflags(write=False)
    return pd.DataFrame(columns, index=table.index, copy=False)


def number_faults(value: float) -> Iterator[Fault]:
    """Faults of a number."""
    wrong = {"zero": 0, "negative": -1, "a fraction": 0.5, "NaN": float("nan"), "infinite": float("inf")}
    for name, found in wrong.items():
        yield Fault(name, lambda _, found=found: found)
    for name, found in {"text": "three", "a list": [1, "x"], "None": None, "an array": np.zeros(3)}.items():
        yield Fault(name, lambda _, found=found: found)
    if isinstance(value, int):
        yield Fault("a numpy integer", lambda x: np.int64(x), same=True)
    else:
        yield Fault("a numpy float", lambda x: np.float32(x))


def name_faults(_: str) -> Iterator[Fault]:
    """Faults of a name: of a key, a method or a group."""
    for name, found in {
        "nowhere": "nowhere",
        "empty": "",
        "unicode and slash": "ä/日",
        "a number": 7,
        "bytes": b"x",
        "a list of nothing": [],
        "a list of lists": [[1]],
        "a dictionary": {"a": "b"},
        "an object": object(),
    }.items():
        yield Fault(name, lambda _, found=found: found)


def object_faults(_: Any) -> Iterator[Fault]:
    """Faults of anything else."""
    yield from _STRANGE


def mapping_faults(value: dict) -> Iterator[Fault]:
    """Faults of a dictionary."""
    yield from (fault for fault in _STRANGE if fault.name != "a dictionary")
    changes: dict[str, Callable[[dict], Any]] = {
        "empty": lambda _: {},
        "no such name": lambda _: {"nowhere": "nowhere"},
        "values None": lambda old: dict.fromkeys(old),
        "values empty": lambda old: {key: [] for key in old},
        "keys numbers": lambda old: dict(enumerate(old.values())),
        "slash in a key": lambda old: {f"a/{key}": item for key, item in old.items()},
    }
    for name, change in changes.items():
        yield Fault(name, lambda x, change=change: change(x))
