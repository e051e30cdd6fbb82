from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgauge.metrics import TwoSampleResult
from scgauge.pl._figure import NEUTRAL, SYNTHETIC, close_axes, open_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Name of each statistic on the axis.
_NAMES = {
    "energy": "Energy statistic",
    "cramer": "Cramér statistic",
    "bahr": "Cramér statistic, Bahr kernel",
    "log": "Cramér statistic, log kernel",
    "frac_a": "Cramér statistic, kernel A",
    "frac_b": "Cramér statistic, kernel B",
}
#: From so many times the largest permuted statistic on, the axis is logarithmic: the histogram would be a line.
_FAR = 4


def two_sample(
    result: TwoSampleResult,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the statistic of a two-sample test against those of permuted samples.

    The histogram is what the statistic would be if both samples came from one distribution; the line is what it is.
    The axis is logarithmic where that is far off. With the sliced method a band shows two standard errors of the
    statistic over random lines.

    Parameters
    ----------
    result
        What :func:`scgauge.tl.two_sample_test` or :func:`scgauge.metrics.two_sample_test` returned, with permutations.
    ax
        Axes to draw into; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``result`` is not a :class:`~scgauge.metrics.TwoSampleResult`, or ``ax`` is not an Axes.
    ValueError
        If the test was run without permutations.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).normal(size=(40, 2))
    >>> result = scgauge.tl.two_sample_test(x, x[::-1] + 1, n_permutations=99, rng=0)
    >>> scgauge.pl.two_sample(result, show=False).get_title(loc="left")
    'p = 0.01 (99 permutations)'
    """
    if not isinstance(result, TwoSampleResult):
        message = f"`result` is {type(result).__name__}; what scgauge.tl.two_sample_test returns is needed."
        raise TypeError(message)
    if len(result.null) == 0:
        message = "`result` has no permutations to draw. Run: scgauge.tl.two_sample_test(..., n_permutations=199)"
        raise ValueError(message)
    (panel,) = open_axes(1, ax, panel_size=(5.2, 3.0))
    far = result.null.min() > 0 and result.statistic > _FAR * result.null.max()
    bins = np.geomspace(result.null.min(), result.null.max(), 21).tolist() if far else "auto"
    panel.hist(result.null, bins=bins, color="#B8B8B8", label="permuted")
    if far:
        panel.set_xscale("log")
    panel.axvline(result.statistic, color=SYNTHETIC, linewidth=2, label="observed")
    if result.error > 0:
        ends = result.statistic - 2 * result.error, result.statistic + 2 * result.error
        panel.axvspan(*ends, color=SYNTHETIC, alpha=0.15, linewidth=0, label="± 2 SE over lines")
    beyond = np.quantile(result.null, 0.95)
    panel.axvline(beyond, color=NEUTRAL, linestyle="--", linewidth=1.2, label="95 % of permuted")
    panel.set_xlabel(_NAMES[result.kernel] + (" (sliced)" if result.method == "sliced" else ""))
    panel.set_ylabel("Permutations")
    panel.set_title(f"p = {result.pvalue:.2g} ({len(result.null)} permutations)", loc="left", fontsize="medium")
    panel.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.02))
    tidy([panel])
    return close_axes([panel], ax=ax, show=show, return_fig=return_fig)
