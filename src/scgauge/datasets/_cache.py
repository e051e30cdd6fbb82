"""Cleaned data that take long to read from their source, kept as files beside the downloads."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scgauge._core.whole_files import replace_file
from scgauge.datasets._registry import cache_dir, registry

if TYPE_CHECKING:
    from collections.abc import Callable

#: Raise when a loader changes what it returns, so that older files are read no more.
LOADER_VERSION = 1


def cached(
    dataset: str, name: str, build: Callable[[], Any], write: Callable[[Any, Path], Any], read: Callable[[Path], Any]
) -> Any:
    """Return what `build` makes, from a file where an earlier call has left it.

    Parameters
    ----------
    dataset
        Name of the data set, whose published hashes are part of the key.
    name
        Name of the file, with the suffix that `write` and `read` expect.
    build
        Makes the object from the published files.
    write, read
        Write the object to a path and read it again.
    """
    hashes = "".join(entry.sha256 for (owner, _), entry in registry().items() if owner == dataset)
    key = hashlib.sha256(f"{LOADER_VERSION}{hashes}".encode()).hexdigest()[:16]
    path = cache_dir() / dataset / f"{key}-{name}"
    if path.exists():
        with suppress(Exception):  # whatever is wrong with the file, it can be made again
            return read(path)
    result = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            # A place of its own: several processes may be making the file.
            part = Path(folder, name)
            write(result, part)
            replace_file(part, path)
    except OSError:
        # A full or read-only disk costs time at the next call, no more.
        return result
    return result
