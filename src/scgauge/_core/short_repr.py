from __future__ import annotations

from dataclasses import fields
from typing import Any

#: Numbers of an array that are still written out.
_MOST_NUMBERS = 6


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if not shape or (len(shape) == 1 and shape[0] <= _MOST_NUMBERS):
        return repr(value)
    return f"<{type(value).__name__} {' x '.join(str(size) for size in shape)}>"


def short_repr(result: Any) -> str:
    """Write a result as one line: its numbers in full, arrays and tables by their shape.

    To be set as ``__repr__`` in the body of a dataclass, which then makes no other.

    Parameters
    ----------
    result
        A dataclass.
    """
    parts = [f"{field.name}={_short(getattr(result, field.name))}" for field in fields(result) if field.repr]
    return f"{type(result).__name__}({', '.join(parts)})"
