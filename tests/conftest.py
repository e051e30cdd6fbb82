"""Fixtures and flags of the whole suite; flags only add tests, never hide others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# One thread each: tests are too small to share work, and threads that wait for each other keep the cores busy. Set
# before torch and numba are loaded; numba would otherwise set the threads of torch, too.
for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# No test may need a screen; chosen here, since the package itself never chooses a backend.
mpl.use("Agg")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the seed studies marked 'slow'")
    parser.addoption("--gpu", action="store_true", help="also run the tests marked 'gpu'")
    parser.addoption("--require-data", action="store_true", help="fail, instead of skip, where public data are missing")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        public_data = "data_dir" in getattr(item, "fixturenames", ())
        if not (public_data or {"slow", "gpu"} & set(item.keywords)):
            item.add_marker("quick")
    for mark in ("slow", "gpu"):
        if not config.getoption(f"--{mark}"):
            skip = pytest.mark.skip(reason=f"needs --{mark}")
            for item in items:
                if mark in item.keywords:
                    item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the public data sets, one folder each; tests that take it skip without it.

    What loaders keep for later goes to a folder of this run, on every system.
    """
    value = os.environ.get("SCGAUGE_DATA_DIR")
    if value and Path(value).is_dir():
        cache = tmp_path_factory.mktemp("cache")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pooch.os_cache", cache.joinpath)
            yield Path(value)
        return
    message = f"SCGAUGE_DATA_DIR is {value!r}; set it to the folder with the public data sets."
    if pytestconfig.getoption("--require-data"):
        pytest.fail(message)
    pytest.skip(message)
