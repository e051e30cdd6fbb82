"""Files from a folder, from the cache and from a server on this machine."""

import csv
import hashlib
import io
import tarfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scgauge import datasets
from scgauge.datasets import _registry
from scgauge.datasets._registry import DataFile, fetch, note, registry

CONTENT = b"gene\tcell\n1\t2\n"
MEMBERS = {"one.txt": b"first", "two.txt": b"second"}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in MEMBERS.items():
            member = tarfile.TarInfo(f"pack/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo("pack/folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    return buffer.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Server with a file and an archive, an empty cache, and the paths that were asked for."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "table.txt").write_bytes(CONTENT)
    packed = _archive()
    (served / "pack.tar.gz").write_bytes(packed)
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(served), **kwargs)

        def log_message(self, *_):
            asked.append(self.path)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{httpd.server_port}"
    own = DataFile("set", "table.txt", _sha256(CONTENT), f"{base}/table.txt", "", "", "MIT")
    entries = [own, replace(own, file="folder/gone.txt", url=f"{base}/gone.txt")]
    entries += [
        DataFile("packed", name, _sha256(content), f"{base}/pack.tar.gz", _sha256(packed), f"pack/{name}", "GPL")
        for name, content in MEMBERS.items()
    ]
    table = {(entry.dataset, entry.file): entry for entry in entries}
    monkeypatch.setattr(_registry, "registry", lambda: table)
    monkeypatch.setattr("pooch.os_cache", (tmp_path / "cache").joinpath)
    monkeypatch.delenv("SCGAUGE_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield table, asked, tmp_path / "cache" / "scgauge"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_download_once_then_from_the_cache(server):
    _, asked, cache = server
    path = fetch("set", "table.txt")
    assert path == cache / "set" / "table.txt"
    assert path.read_bytes() == CONTENT
    assert fetch("set", "table.txt") == path
    assert asked == ["/table.txt"]
    assert _files(cache) == {"set/table.txt"}


def test_damaged_file_of_the_cache_is_replaced(server):
    _, asked, _ = server
    path = fetch("set", "table.txt")
    path.write_bytes(CONTENT[:5])
    assert fetch("set", "table.txt").read_bytes() == CONTENT
    assert len(asked) == 2


def test_one_download_serves_all_members_of_an_archive(server):
    _, asked, cache = server
    for name, content in MEMBERS.items():
        assert fetch("packed", name).read_bytes() == content
    assert asked == ["/pack.tar.gz"]
    assert _files(cache) == {"packed/one.txt", "packed/two.txt"}


def test_wrong_download_is_refused_and_not_kept(server):
    table, _, cache = server
    table["set", "table.txt"] = replace(table["set", "table.txt"], sha256="0" * 64)
    expected = rf"set/table.txt: the download from http.*table.txt is damaged .* {_sha256(CONTENT)}, needed 0{{64}}"
    with pytest.raises(ValueError, match=expected):
        fetch("set", "table.txt")
    assert _files(cache) == set()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"archive_sha256": "0" * 64}, ValueError, "the download from .*pack.tar.gz is damaged"),
        ({"sha256": "0" * 64}, ValueError, "the member pack/one.txt is damaged"),
        ({"member": "pack/none.txt"}, FileNotFoundError, "the archive holds no file pack/none.txt"),
        ({"member": "pack/folder"}, FileNotFoundError, "the archive holds no file pack/folder"),
    ],
    ids=["archive", "member", "no member", "folder"],
)
def test_wrong_archive(server, change, error, message):
    table, _, cache = server
    table["packed", "one.txt"] = replace(table["packed", "one.txt"], **change)
    with pytest.raises(error, match=message):
        fetch("packed", "one.txt")
    assert "packed/one.txt" not in _files(cache)


def test_missing_file_says_where_from_and_where_to(server):
    table, _, cache = server
    url = table["set", "folder/gone.txt"].url
    place = cache / "set" / "folder" / "gone.txt"
    with pytest.raises(FileNotFoundError, match="404") as caught:
        fetch("set", "folder/gone.txt")
    message = str(caught.value)
    assert message.startswith(f"Could not download set/folder/gone.txt from {url}: ")
    assert f"Get it from {url} and save it as {place}" in message
    assert "in a folder that SCGAUGE_DATA_DIR names" in message
    assert _files(cache) == set()


def test_no_network(server):
    table, _, _ = server
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as closed:
        port = closed.server_port
    table["set", "table.txt"] = replace(table["set", "table.txt"], url=f"http://127.0.0.1:{port}/table.txt")
    with pytest.raises(FileNotFoundError, match=r"(?s)Could not download set/table.txt from .*save it as .*table.txt"):
        fetch("set", "table.txt")


def test_cache_that_cannot_be_made(server):
    _, _, cache = server
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(FileNotFoundError, match=r"Could not download set/table\.txt"):
        fetch("set", "table.txt")


def test_local_folder_comes_first_and_is_only_read(server, tmp_path, monkeypatch):
    _, asked, cache = server
    local = tmp_path / "local" / "set" / "table.txt"
    local.parent.mkdir(parents=True)
    local.write_bytes(CONTENT)
    monkeypatch.setenv("SCGAUGE_DATA_DIR", str(tmp_path / "local"))
    assert fetch("set", "table.txt") == local
    assert asked == []
    fetch("packed", "one.txt")  # not in the folder: downloaded, and kept elsewhere
    assert _files(tmp_path / "local") == {"set/table.txt"}
    assert "packed/one.txt" in _files(cache)


def test_wrong_local_file_is_named_and_left_alone(server, tmp_path, monkeypatch):
    local = tmp_path / "local" / "set" / "table.txt"
    local.parent.mkdir(parents=True)
    local.write_bytes(b"other")
    monkeypatch.setenv("SCGAUGE_DATA_DIR", str(tmp_path / "local"))
    with pytest.raises(ValueError, match="set/table.txt: .* is damaged or another version") as caught:
        fetch("set", "table.txt")
    assert f"save it as {local}; its sha256 is {_sha256(CONTENT)}" in str(caught.value)
    assert local.read_bytes() == b"other"


def test_unknown_file():
    with pytest.raises(KeyError, match="no file 'none.txt' of a data set 'worm_embryo'"):
        fetch("worm_embryo", "none.txt")


def test_note_joins_licences_and_sources(server):
    found = note("packed", "Someone 2020", files=["one.txt"], time_unit="days")
    table, _, _ = server
    source = f"{table['packed', 'one.txt'].url} (member pack/one.txt)"
    expected = {"name": "packed", "citation": "Someone 2020", "licence": "GPL", "source": source, "time_unit": "days"}
    assert found == expected
    assert note("packed", "Someone 2020")["licence"] == "GPL"


def test_table_is_complete():
    for entry in registry().values():
        assert len(entry.sha256) == 64
        assert entry.url.startswith("https://")
        assert bool(entry.member) == bool(entry.archive_sha256)
        assert entry.licence


def test_local_copies_are_the_files_of_the_table(data_dir):
    for entry in registry().values():
        assert (data_dir / entry.dataset / entry.file).is_file()
        assert fetch(entry.dataset, entry.file).parent == (data_dir / entry.dataset / entry.file).parent
    text = (Path(_registry.__file__).parent / "files.csv").read_text(encoding="utf-8")
    assert len(registry()) == len(list(csv.reader(text.splitlines()))) - 1


def test_page_of_the_data_sets_lists_every_function():
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    missing = [
        name for name in datasets.__all__ if f"scgauge.datasets.{name}`" not in page and f".{name}>`" not in page
    ]
    assert missing == []
