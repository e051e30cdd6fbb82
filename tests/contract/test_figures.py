"""Every figure comes back as matplotlib's own objects and stays open only if the caller keeps it."""

import matplotlib.pyplot as plt
import pytest
from contract.public import get, names
from contract.table import CALLS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

each_plot = pytest.mark.parametrize("name", [name for name in names("pl") if name in CALLS])


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    plt.close("all")
    yield
    plt.close("all")


def draw(name, **more):
    call = CALLS[name]
    return get(name)(*call.data(), **{**call.kwargs, **more})


@each_plot
def test_axes_are_returned(name):
    result = draw(name, show=False)
    axes = result if isinstance(result, list) else [result]
    assert axes
    assert all(isinstance(ax, Axes) for ax in axes)
    assert all(ax.has_data() for ax in axes)


@each_plot
def test_the_figure_is_returned_on_request(name):
    assert isinstance(draw(name, show=False, return_fig=True), Figure)


@each_plot
def test_given_axes_are_used(name):
    panels = draw(name, show=False)
    n_panels = len(panels) if isinstance(panels, list) else 1
    plt.close("all")
    figure, grid = plt.subplots(1, n_panels, squeeze=False)
    given = grid[0][0] if n_panels == 1 else list(grid[0])
    assert draw(name, show=False, ax=given) == given
    assert plt.get_fignums() == [figure.number]
    assert all(ax.has_data() for ax in grid[0])


@each_plot
def test_axes_are_labelled(name):
    for ax in draw(name, show=False, return_fig=True).axes:
        if ax.get_label() == "<colorbar>" or not ax.axison:
            continue
        titles = [ax.get_title(loc=side) for side in ("left", "center", "right")]
        assert any([ax.get_xlabel(), ax.get_ylabel(), *titles])
