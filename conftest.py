"""What tests and the examples of docstrings share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from _pytest.doctest import DoctestItem

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Close what a test or an example has drawn."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture(autouse=True)
def _one_seed_for_examples(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the examples of docstrings from one seed: some train a small network, and a few starts of it warn."""
    if not isinstance(request.node, DoctestItem):
        yield
        return
    from scgauge._core.rng import seeded  # noqa: PLC0415 - examples alone need it

    with seeded(0):
        yield
