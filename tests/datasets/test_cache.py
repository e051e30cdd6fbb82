"""Prepared data kept as files: complete, current, or made again."""

import os

import pandas as pd
import pytest

from scgauge.datasets import _cache
from scgauge.datasets._registry import registry


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", (tmp_path / "cache").joinpath)
    return tmp_path / "cache" / "scgauge" / "networks"


class Builder:
    """Makes a table and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self) -> pd.DataFrame:
        self.calls += 1
        return pd.DataFrame({"a": [self.calls]})


def _cached(build, write=lambda table, path: table.to_csv(path, index=False)):
    return _cache.cached("networks", "table.csv.gz", build, write, pd.read_csv)


def test_second_call_reads(folder):
    build = Builder()
    assert _cached(build)["a"].item() == _cached(build)["a"].item() == 1
    assert build.calls == 1
    assert [path.name.partition("-")[2] for path in folder.iterdir()] == ["table.csv.gz"]


def test_other_loader_or_other_files_read_no_older_cache(folder, monkeypatch):
    build = Builder()
    _cached(build)
    monkeypatch.setattr(_cache, "LOADER_VERSION", _cache.LOADER_VERSION + 1)
    assert _cached(build)["a"].item() == 2
    table = {key: entry for key, entry in registry().items() if key[1] != "dorothea_mm.rda"}
    monkeypatch.setattr(_cache, "registry", lambda: table)
    assert _cached(build)["a"].item() == 3
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"rubbish"], ids=["empty", "rubbish"])
def test_damaged_file_is_made_again(folder, content):
    build = Builder()
    _cached(build)
    (path,) = folder.iterdir()
    path.write_bytes(content)
    assert _cached(build)["a"].item() == 2
    assert _cached(build)["a"].item() == 2


def test_interrupted_write_leaves_nothing(folder):
    def write(_, path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _cached(Builder(), write)
    assert list(folder.iterdir()) == []


def test_cache_that_cannot_be_written_costs_only_time(folder):
    folder.parent.parent.mkdir()
    folder.parent.write_text("a file where the folder should be")
    build = Builder()
    assert _cached(build)["a"].item() == 1
    assert _cached(build)["a"].item() == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    assert _cached(Builder())["a"].item() == 1
    folder.chmod(0o700)
