from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from scgauge.pl import history
from scgauge.report import _verdicts
from scgauge.report._numbers import number
from scgauge.report._section import Picture, Section, Table

if TYPE_CHECKING:
    import pandas as pd

    from scgauge.report._subject import Subject


def _curve(model_history: dict[str, pd.DataFrame], key: str) -> pd.Series | None:
    if key not in model_history:
        return None
    return model_history[key].iloc[:, 0].astype(np.float64).dropna()


def _elbo(subject: Subject) -> dict[str, float]:
    """ELBO per cell of the cells that the model was trained on, and of those it was not."""
    parts = {"training": subject.adapter.training_cells(), "held out": subject.unseen()}
    return {
        name: float(subject.model.get_elbo(indices=rows, return_mean=True)) for name, rows in parts.items() if len(rows)
    }


def training(subject: Subject) -> Section:
    """Tell what was fitted and how training went."""
    model, past = subject.model, subject.model.history or {}
    curve = _curve(past, "elbo_validation")
    n_epochs = len(past.get("elbo_train", ()))
    elbo = _elbo(subject)
    rows = [
        ["Model", f"{type(model).__name__}, likelihood {subject.adapter.likelihood}"],
        ["Cells and genes", f"{number(subject.data.n_obs)} cells, {number(len(subject.adapter.genes))} genes"],
        ["Held out", f"{number(len(subject.unseen()))} cells"],
        ["Latent dimensions", str(len(subject.adapter.latents))],
        ["Epochs", number(n_epochs)],
        *[[f"ELBO per cell, {name}", f"{number(value, 1)} nats"] for name, value in elbo.items()],
    ]
    pictures = []
    panels = sum(any(key.startswith(stem) for key in past) for stem in ("elbo", "reconstruction", "kl_local", "kl_w"))
    if n_epochs and panels:
        figure = Figure(figsize=(7.6, 2.7 * -(-panels // 2)), layout="constrained")
        axes = list(figure.subplots(-(-panels // 2), 2, squeeze=False).flat)
        for extra in axes[panels:]:
            extra.remove()
        history(model, ax=axes[:panels] if panels > 1 else axes[0], show=False)
        pictures = [
            Picture.of(
                figure,
                f"Training curves over {n_epochs} epochs: negative ELBO and its parts.",
                "Means per cell after every epoch; lower is better. Dashed: cells that were held out. A bend at the "
                "start is expected while the weight of the KL divergence grows.",
            )
        ]
    return Section(
        name="training",
        title="What was fitted, and did the training go well?",
        verdict=_verdicts.training(curve),
        pictures=pictures,
        tables=[Table(["What", "Value"], rows)],
        limits=[
            "The ELBO compares models of the same cells and genes only; no value of it is good in itself.",
            "Cells were held out at random: other donors or other experiments are a harder test.",
        ],
        code="scgauge.pl.history(model)",
        numbers={f"elbo_{name.replace(' ', '_')}": value for name, value in elbo.items()} | {"n_epochs": n_epochs},
    )
