"""Checksums of files of torch, which are zip archives: torch itself reads numbers in which bits have flipped."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: What Python raises on an archive that is cut off, scrambled or packed in ways that torch does not write.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError)


def damaged_part(path: Path) -> str | None:
    """Return the name of the first part of an archive whose checksum is not that of its bytes; ``None`` if all are.

    Nothing is unpickled. What is no archive at all is left to who reads it.

    Parameters
    ----------
    path
        File that torch has written.
    """
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except BROKEN:
        return "directory"
