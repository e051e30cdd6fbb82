"""Fixtures and flags of the whole suite; flags only add tests, never hide others."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest

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
def data_dir(pytestconfig: pytest.Config) -> Path:
    """Folder of the public data sets, one folder each; tests that take it skip without it."""
    value = os.environ.get("SCGAUGE_DATA_DIR")
    if value and Path(value).is_dir():
        return Path(value)
    message = f"SCGAUGE_DATA_DIR is {value!r}; set it to the folder with the public data sets."
    if pytestconfig.getoption("--require-data"):
        pytest.fail(message)
    pytest.skip(message)
