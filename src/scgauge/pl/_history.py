from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from scgauge.pl._figure import close_axes, open_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from scgauge.pl._figure import Drawn

#: Stem of the key in ``model.history``, and the label of the axis. scvi-tools calls the negative ELBO "elbo".
_PANELS = {
    "elbo": "Negative ELBO\n(nats per cell)",
    "reconstruction_loss": "Reconstruction loss\n(nats per cell)",
    "kl_local": "KL divergence\n(nats per cell)",
    "kl_weight": "KL weight",
}
_TRAIN, _VALIDATION = "#0072B2", "#E69F00"


def _curve(history: Mapping[str, pd.DataFrame], key: str) -> pd.Series | None:
    """Values of one key by epoch, without the epochs in which it was not computed."""
    if key not in history:
        return None
    table = history[key]
    curve = (table[key] if key in table else table.iloc[:, 0]).astype(np.float64).dropna()
    return curve if len(curve) else None


def _curves(history: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pd.Series]]:
    """Curves of each panel that has any."""
    panels: dict[str, dict[str, pd.Series]] = {}
    for stem in _PANELS:
        keys = {"training": f"{stem}_train", "validation": f"{stem}_validation", "": stem}
        curves = {name: curve for name, key in keys.items() if (curve := _curve(history, key)) is not None}
        if curves:
            panels[stem] = curves
    return panels


def _draw(panel: Axes, curves: dict[str, pd.Series], label: str) -> None:
    styles = {"training": (_TRAIN, "-"), "validation": (_VALIDATION, "--"), "": (_TRAIN, "-")}
    for name, curve in curves.items():
        color, line = styles[name]
        marker = "o" if len(curve) == 1 else None  # a line of one point cannot be seen
        panel.plot(curve.index, curve, color=color, linestyle=line, label=name or None, marker=marker, markersize=4)
    panel.set_xlabel("Epoch")
    panel.set_ylabel(label)
    first, last = (int(pick(curve.index[at] for curve in curves.values())) for pick, at in ((min, 0), (max, -1)))
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    if first == last:  # there is no range to place ticks in
        panel.set_xticks([first])
    if len(curves) > 1:
        panel.legend(frameon=False)


def history(
    model: Any,
    *,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the training curves of a model of scvi-tools or of ours.

    One panel each for the negative ELBO, the reconstruction loss, the KL divergence of the latent variables and the
    weight of the KL divergence in the loss, as far as ``model.history`` has them; training as a line, validation
    dashed. All are means per cell, in nats; lower is better.

    Parameters
    ----------
    model
        Trained model with a ``history``: a mapping from names to data frames with one row per epoch.
    ax
        Axes to draw into, as many as there are panels; a new figure if ``None``.
    show
        Whether to call ``matplotlib.pyplot.show``; ``None`` does so in interactive sessions when a new figure was made.
    return_fig
        Whether to return the Figure.

    Returns
    -------
    The Axes, a list of them if there is more than one panel, or the Figure if ``return_fig``.

    Raises
    ------
    TypeError
        If ``model`` has no history, or ``ax`` does not hold Axes.
    RuntimeError
        If the model is not trained.
    ValueError
        If the history has none of these curves, or ``ax`` has another number of Axes than there are panels.

    Examples
    --------
    >>> import pandas as pd, scgauge
    >>> from types import SimpleNamespace
    >>> curve = pd.DataFrame({"elbo_train": [310.0, 290.0, 285.0]})
    >>> panel = scgauge.pl.history(SimpleNamespace(history={"elbo_train": curve}), show=False)
    >>> panel.get_xlabel()
    'Epoch'
    """
    if not hasattr(model, "history") or isinstance(model, type):
        message = f"{type(model).__name__} has no `history`; a model of scvi-tools or scgauge is needed."
        raise TypeError(message)
    if model.history is None or not getattr(model, "is_trained", True):
        message = f"This {type(model).__name__} is not trained and has no curves yet. Run: model.train()"
        raise RuntimeError(message)
    panels = _curves(model.history)
    if not panels:
        message = (
            f"The history of this {type(model).__name__} has no ELBO, reconstruction loss, KL divergence or KL weight; "
            f"found {sorted(model.history)}."
        )
        raise ValueError(message)
    axes = open_axes(len(panels), ax, panel_size=(3.0, 2.6))
    for panel, (stem, curves) in zip(axes, panels.items(), strict=True):
        _draw(panel, curves, _PANELS[stem])
    if "kl_weight" in panels:
        axes[-1].set_ylim(-0.03, max(1.03, 1.03 * panels["kl_weight"][""].max()))
    tidy(axes)
    return close_axes(axes, ax=ax, show=show, return_fig=return_fig)
