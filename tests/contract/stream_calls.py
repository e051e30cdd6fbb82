"""Calls of what reads cells from disk."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from contract.calls import Call, cells


@cache
def folder() -> tempfile.TemporaryDirectory:
    """Return a folder that lives as long as the tests."""
    return tempfile.TemporaryDirectory()


def path() -> tuple[Path]:
    place = Path(folder().name) / "cells.h5ad"
    if not place.exists():
        cells().write_h5ad(place)
    return (place,)


CALLS: dict[str, Call] = {
    "datasets.read_backed": Call(data=path, bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
}
