"""Files that are whole or not there: written beside their place, then moved to it in one step."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def replace_file(source: Path, target: Path) -> None:
    """Move a file that is complete to its place, in one step, after its bytes are on the disk."""
    with source.open("rb+") as file:
        os.fsync(file.fileno())
    source.replace(target)


@contextmanager
def finished_file(path: Path) -> Iterator[Path]:
    """Give a block a place to write a file to, and move it to `path` once the block is through.

    If the block fails, what was at `path` stays. What a killed process has left beside it is replaced by the next.

    Parameters
    ----------
    path
        Where the file ends up; its folder exists.

    Yields
    ------
    File beside `path` with the same suffix, for one writer at a time.
    """
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        yield unfinished
        replace_file(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def finished_together(folder: Path, *, last: str, place: Path | None = None) -> Iterator[Path]:
    """Give a block an empty place to write files to, and move them into `folder` once the block is through.

    Files of the same names are replaced, others are left alone. If the block fails, nothing in `folder` changes, and
    a folder that was made for it is removed. What a killed process has left is cleared by the next.

    Parameters
    ----------
    folder
        Where the files end up; made if it does not exist.
    last
        Name of the file that is moved last, since it refers to the others.
    place
        Folder for the unfinished files, on the same file system; by default one in `folder`.

    Yields
    ------
    The empty folder.

    Raises
    ------
    FileExistsError
        If `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{str(folder)!r} is a file; a folder is needed to write to. Choose another name."
        raise FileExistsError(message)
    is_new = not folder.exists()
    place = folder / f".unfinished-{last}" if place is None else place
    shutil.rmtree(place, ignore_errors=True)
    # Made now and not at the end: a folder that cannot be written to shows before the work, not after it.
    place.mkdir(parents=True)
    try:
        yield place
        folder.mkdir(exist_ok=True)
        for path in sorted(place.iterdir(), key=lambda path: (path.name == last, path.name)):
            replace_file(path, folder / path.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if is_new and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
