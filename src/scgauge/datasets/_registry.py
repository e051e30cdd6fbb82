"""Where the files of public data sets come from, and the one function that brings them here."""

from __future__ import annotations

import csv
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from scgauge._core.optional import later

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Environment variable that names a folder with local copies, one sub-folder a data set. It is only read.
DATA_DIR = "SCGAUGE_DATA_DIR"


@dataclass(frozen=True)
class DataFile:
    """A line of ``files.csv``.

    Attributes
    ----------
    dataset, file
        Folder of the data set and path of the file inside it.
    sha256
        Hash of the file.
    url
        Address of the file, or of the archive that holds it.
    archive_sha256, member
        Hash of the archive and path of the file in it; empty where the file is downloaded by itself.
    licence
        As stated by the source.
    """

    dataset: str
    file: str
    sha256: str
    url: str
    archive_sha256: str
    member: str
    licence: str

    @property
    def source(self) -> str:
        """Where the file comes from, as people read it."""
        return f"{self.url} (member {self.member})" if self.member else self.url


@cache
def registry() -> dict[tuple[str, str], DataFile]:
    """Return the table of files by data set and file."""
    text = (package_files("scgauge.datasets") / "files.csv").read_text(encoding="utf-8")
    entries = [DataFile(**row) for row in csv.DictReader(text.splitlines())]
    return {(entry.dataset, entry.file): entry for entry in entries}


def cache_dir() -> Path:
    """Return the folder for downloads and prepared data, which need not exist."""
    return Path(later("pooch").os_cache("scgauge"))


def fetch(dataset: str, file: str) -> Path:
    """Find or download a file of a public data set; its hash is checked in every case.

    Parameters
    ----------
    dataset
        Name of the data set in the table.
    file
        Name of the file in the table.

    Returns
    -------
    Path of ``$SCGAUGE_DATA_DIR/<dataset>/<file>`` if that exists, else of the file in the download cache.

    Raises
    ------
    KeyError
        If the table has no such file.
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file that was found or downloaded is another one than expected.
    """
    entry = registry().get((dataset, file))
    if entry is None:
        message = f"There is no file {file!r} of a data set {dataset!r}; see scgauge/datasets/files.csv."
        raise KeyError(message)
    folder = os.environ.get(DATA_DIR)
    if folder and (local := Path(folder) / dataset / file).exists():
        _check(entry, local, entry.sha256, str(local))
        return local
    target = cache_dir() / dataset / file
    if _hash(target) != entry.sha256:  # not there yet, or damaged
        try:
            _download(entry, target)
        except OSError as error:  # network, server and disk alike
            if (response := getattr(error, "response", None)) is not None:
                response.close()  # pooch leaves the connection of a refused request open
            message = f"Could not download {dataset}/{file} from {entry.source}: {error}. {_by_hand(entry)}"
            raise FileNotFoundError(message) from error
    return target


def _download(entry: DataFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Never under the final name before the hash is known to be right.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / "download"
        later("pooch").HTTPDownloader(progressbar=True)(entry.url, str(fresh), None)
        _check(entry, fresh, entry.archive_sha256 or entry.sha256, f"the download from {entry.url}")
        if not entry.member:
            fresh.replace(target)
            return
        # One download serves all files of an archive.
        same = [other for other in registry().values() if (other.dataset, other.url) == (entry.dataset, entry.url)]
        for other in same:
            member = _extract(other, fresh, Path(folder) / "member")
            _check(other, member, other.sha256, f"the member {other.member}")
            member.replace(target if other is entry else cache_dir() / other.dataset / other.file)


def _extract(entry: DataFile, archive: Path, target: Path) -> Path:
    try:
        with tarfile.open(archive) as opened, target.open("wb") as output:
            # Only reading, so that nothing of the archive can land elsewhere on the disk.
            shutil.copyfileobj(cast("IO[bytes]", opened.extractfile(entry.member)), output)
    except (KeyError, AttributeError, tarfile.TarError) as error:  # no such member, a folder, no archive
        message = f"the archive holds no file {entry.member}"
        raise OSError(message) from error
    return target


def _hash(path: Path) -> str:
    return later("pooch").file_hash(str(path), alg="sha256") if path.is_file() else "of no file"


def _check(entry: DataFile, path: Path, sha256: str, what: str) -> None:
    found = _hash(path)
    if found != sha256:
        message = (
            f"{entry.dataset}/{entry.file}: {what} is damaged or another version: found sha256 {found}, "
            f"needed {sha256}. {_by_hand(entry)}"
        )
        raise ValueError(message)


def _by_hand(entry: DataFile) -> str:
    folder = os.environ.get(DATA_DIR)
    place = Path(folder) if folder else cache_dir()
    where = place / entry.dataset / entry.file
    choice = "" if folder else f" (or to {entry.dataset}/{entry.file} in a folder that {DATA_DIR} names)"
    return f"Get it from {entry.source} and save it as {where}{choice}; its sha256 is {entry.sha256}."


def note(dataset: str, citation: str, *, files: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    """Return what a loader leaves in ``uns[keys.DATASET]``.

    Parameters
    ----------
    dataset
        Name of the data set in the table.
    citation
        Work to cite.
    files
        Files that were read; all those of the data set if none are named.
    more
        Further entries.
    """
    names = set(files)
    entries = [
        entry for (owner, file), entry in registry().items() if owner == dataset and (not names or file in names)
    ]
    licences, sources = (dict.fromkeys(getattr(entry, key) for entry in entries) for key in ("licence", "source"))
    return {
        "name": dataset, "citation": citation, "licence": "; ".join(licences), "source": "; ".join(sources), **more
    }  # fmt: skip
