"""What all figures share: where they are drawn, what is returned, colours that colour-blind readers can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.figure import Figure, SubFigure

    Drawn: TypeAlias = Axes | list[Axes] | Figure | SubFigure

_PARSER = MathTextParser("path")
#: Real and synthetic cells, everywhere the same: blue and vermilion of Okabe and Ito.
REAL, SYNTHETIC = "#0072B2", "#D55E00"
#: Most names in a column of a legend beside a panel, and the inches that a further column takes.
LEGEND_ROWS, LEGEND_WIDTH = 14, 1.5
#: Lines of reference and cells in the background.
NEUTRAL, BACKGROUND = "#404040", "#DEDEDE"
#: Ten colours chosen by Petroff (2021, arXiv:2107.02270) for readers with and without colour blindness.
_TEN = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
#: Later tens are mixed with black or white, so that they differ in lightness.
_MIX = ((1.0, 0.0), (0.55, 0.0), (0.75, 0.25))


def group_colors(groups: Sequence[str] | np.ndarray) -> dict[str, tuple[float, float, float]]:
    """One colour for each group, different for the first 30."""
    colors = {}
    for position, group in enumerate(groups):
        keep, white = _MIX[position // len(_TEN) % len(_MIX)]
        red, green, blue = (keep * part + white for part in to_rgb(_TEN[position % len(_TEN)]))
        colors[str(group)] = (red, green, blue)
    return colors


def open_axes(
    n_panels: int, ax: Axes | Sequence[Axes] | None, *, n_rows: int = 1, panel_size: tuple[float, float] = (3.4, 3.2)
) -> list[Axes]:
    """Axes to draw into: those of the caller, or rows of panels in a new figure.

    Parameters
    ----------
    n_panels
        Number of panels in a row.
    ax
        Axes of the caller: one, or a sequence of them for several panels; a new figure if ``None``.
    n_rows
        Number of rows; the Axes come row by row.
    panel_size
        Width and height of a new panel in inches.

    Raises
    ------
    TypeError
        If `ax` holds something other than Axes.
    ValueError
        If their number is not the number of panels, or there is nothing to draw.
    """
    if n_panels < 1:
        message = "Nothing was chosen to draw. Name at least one, or leave the choice out."
        raise ValueError(message)
    if ax is None:
        width, height = panel_size
        size = (n_panels * width, n_rows * height)
        _, grid = plt.subplots(n_rows, n_panels, figsize=size, layout="constrained", squeeze=False)
        return list(grid.ravel())
    axes = [ax] if isinstance(ax, Axes) else list(ax)
    wrong = [type(item).__name__ for item in axes if not isinstance(item, Axes)]
    if wrong:
        message = f"`ax` holds {wrong[0]}; matplotlib Axes are needed."
        raise TypeError(message)
    if len(axes) != n_panels * n_rows:
        message = f"`ax` has {len(axes)} Axes; this figure has {n_panels * n_rows} panels."
        raise ValueError(message)
    return axes


def close_axes(axes: list[Axes], *, ax: Axes | Sequence[Axes] | None, show: bool | None, return_fig: bool) -> Drawn:
    """Show the figure if asked, and return what the caller asked for.

    Parameters
    ----------
    axes
        Panels that were drawn.
    ax
        Axes of the caller, if any: the caller then shows the figure, unless ``show=True``.
    show
        Whether to show the figure now; ``None`` does so in interactive sessions of matplotlib.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Figure if ``return_fig``, else the Axes, a list of them if there are several panels.
    """
    for figure in {id(panel.figure): panel.figure for panel in axes}.values():
        _keep_names(figure)
    if show is None:
        show = plt.isinteractive() and ax is None and not return_fig
    if show:
        plt.show()
    if return_fig:
        return axes[0].figure
    return axes[0] if len(axes) == 1 else axes


def _keep_names(figure: Figure | SubFigure) -> None:
    """Show names with dollars that are no formula as they are: matplotlib would fail at drawing them."""
    for text in figure.findobj(Text):
        for line in text.get_text().split("\n"):  # each is a formula or none, as matplotlib draws them
            if line.count("$") < 2:
                continue
            try:
                _PARSER.parse(line)
            except ValueError:
                text.set_parse_math(False)


def tidy(axes: Sequence[Axes]) -> None:
    """Take away the frame lines that carry no axis."""
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
