import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from scgauge.pl._figure import BACKGROUND, close_axes, group_colors, open_axes


def test_a_new_figure_has_the_panels():
    axes = open_axes(3, None, panel_size=(2.0, 1.5))
    assert len(axes) == 3
    assert axes[0].figure.get_size_inches().tolist() == [6.0, 1.5]


def test_axes_of_the_caller_are_used():
    figure, grid = plt.subplots(1, 2)
    assert open_axes(2, grid) == list(grid)
    assert open_axes(1, grid[1]) == [grid[1]]
    assert plt.get_fignums() == [figure.number]


def test_wrong_axes():
    figure, grid = plt.subplots(1, 2)
    with pytest.raises(ValueError, match="`ax` has 2 Axes; this figure has 3 panels"):
        open_axes(3, grid)
    with pytest.raises(TypeError, match="`ax` holds Figure; matplotlib Axes are needed"):
        open_axes(1, [figure])
    with pytest.raises(ValueError, match="Nothing was chosen to draw"):
        open_axes(0, None)


def test_what_is_returned():
    axes = open_axes(2, None)
    assert close_axes(axes, ax=None, show=False, return_fig=False) == axes
    assert close_axes(axes[:1], ax=None, show=False, return_fig=False) is axes[0]
    assert isinstance(close_axes(axes, ax=None, show=False, return_fig=True), Figure)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"show": None}, False),
        ({"show": True}, True),
        ({"show": False}, False),
        ({"show": None, "interactive": True}, True),
        ({"show": None, "interactive": True, "return_fig": True}, False),
        ({"show": None, "interactive": True, "own": True}, False),
        ({"show": False, "interactive": True}, False),
    ],
)
def test_when_a_figure_is_shown(arguments, shown, monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(1))
    monkeypatch.setattr(plt, "isinteractive", lambda: arguments.get("interactive", False))
    axes = open_axes(1, None)
    close_axes(
        axes,
        ax=axes[0] if arguments.get("own") else None,
        show=arguments["show"],
        return_fig=arguments.get("return_fig", False),
    )
    assert bool(calls) is shown


def lightness(color):
    """CIE L* of an sRGB colour."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return 116 * luminance ** (1 / 3) - 16


def test_colors_differ_for_thirty_groups_and_from_the_background():
    colors = group_colors([f"g{i}" for i in range(31)])
    assert list(colors)[:2] == ["g0", "g1"]
    assert len(set(colors.values())) == 30
    assert colors["g30"] == colors["g0"]
    # Cells in the background must stay the lightest.
    assert max(map(lightness, colors.values())) < lightness(to_rgb(BACKGROUND))


def test_formulas_stay_formulas_and_names_with_dollars_stay_names(caplog):
    (panel,) = open_axes(1, None)
    panel.set_title("two lines\n$R^2$ all 0.94")
    panel.set_xlabel("gene $\\frac{$")
    close_axes([panel], ax=None, show=False, return_fig=False)
    assert caplog.records == []
    assert panel.title.get_parse_math()
    assert not panel.xaxis.label.get_parse_math()
    panel.figure.canvas.draw()
