"""Files appear together or not at all."""

import pytest

from scgauge._core.whole_files import finished_file, finished_together


def write(folder, files, *, fail=None):
    """Write files by name, and then fail."""
    with finished_together(folder, last="page") as place:
        for name, text in files.items():
            (place / name).write_text(text)
        if fail is not None:
            raise fail


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("relative", [False, True])
def test_files_are_moved_into_a_new_folder(tmp_path, monkeypatch, relative):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    folder = Path("a/b") if relative else tmp_path / "a" / "b"
    with finished_together(folder, last="page") as place:
        (place / "page").write_text("new page")
        (place / "figure").write_text("new figure")
        assert [path.name for path in folder.iterdir()] == [place.name]
    assert contents(tmp_path / "a" / "b") == {"page": "new page", "figure": "new figure"}


def test_own_files_are_replaced_and_others_stay(tmp_path):
    (tmp_path / "page").write_text("old page")
    (tmp_path / "diary").write_text("not ours")
    with finished_together(tmp_path, last="page") as place:
        (place / "page").write_text("new page")
    assert contents(tmp_path) == {"page": "new page", "diary": "not ours"}


def test_a_failure_leaves_an_old_folder_as_it_was(tmp_path):
    (tmp_path / "page").write_text("old page")
    with pytest.raises(OSError, match="full"):
        write(tmp_path, {"page": "half a page"}, fail=OSError("disk full"))
    assert contents(tmp_path) == {"page": "old page"}


def test_an_interruption_leaves_no_new_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", {"page": "half a page"}, fail=KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_moved_last(tmp_path):
    (tmp_path / "zebra").mkdir()  # no file can take its place: the move fails
    with pytest.raises(OSError, match="zebra"):
        write(tmp_path, {"page": "refers to zebra", "zebra": "figure"})
    assert not (tmp_path / "page").exists()


def test_what_a_killed_process_has_left_is_cleared(tmp_path):
    (tmp_path / ".unfinished-page").mkdir()
    (tmp_path / ".unfinished-page" / "half").write_text("half")
    write(tmp_path, {"page": "new page"})
    assert contents(tmp_path) == {"page": "new page"}


def test_files_written_beside_a_folder(tmp_path):
    with finished_together(tmp_path / "new", last="page", place=tmp_path / "beside") as place:
        (place / "page").write_text("new page")
        assert [path.name for path in tmp_path.iterdir()] == ["beside"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert contents(tmp_path / "new") == {"page": "new page"}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_one_file_is_whole_or_as_it_was(tmp_path, error):
    path = tmp_path / "table.csv"
    for text in ("old", "new"):
        with finished_file(path) as unfinished:
            assert unfinished.suffix == ".csv"
            unfinished.write_text(text)
        assert contents(tmp_path) == {"table.csv": text}

    def fail():
        with finished_file(path) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert contents(tmp_path) == {"table.csv": "new"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileExistsError, match="is a file; a folder is needed"):
        write(tmp_path / "file", {"page": "text"})
    assert contents(tmp_path) == {"file": "text"}
