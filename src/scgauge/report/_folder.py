from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def finished_together(folder: Path, *, last: str) -> Iterator[Path]:
    """Give a block an empty place to write files to, and move them into `folder` once the block is through.

    Files of the same names are replaced, others are left alone. If the block fails, nothing in `folder` changes, and
    a folder that was made for it is removed.

    Parameters
    ----------
    folder
        Where the files end up; made if it does not exist.
    last
        Name of the file that is moved last, since it refers to the others.

    Yields
    ------
    Empty folder inside `folder`, so that moving cannot cross file systems.

    Raises
    ------
    FileExistsError
        If `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{str(folder)!r} is a file; a folder is needed to write to. Choose another name."
        raise FileExistsError(message)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    # Made now and not at the end: a folder that cannot be written to shows before the work, not after it.
    place = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        yield place
        for path in sorted(place.iterdir(), key=lambda path: (path.name == last, path.name)):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
