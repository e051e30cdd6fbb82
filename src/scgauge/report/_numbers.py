from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scgauge._core.matrix import Matrix, row_sums

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One row of the table of key numbers.

    Attributes
    ----------
    name
        What is measured.
    value
        The number, with its unit.
    reading
        How to read it.
    """

    name: str
    value: str
    reading: str = ""


def number(value: float, digits: int = 0) -> str:
    """Write a number for people: thousands set off by commas, a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", "\u2212")


def size_row(n_cells: int, n_genes: int, n_batches: int, n_held_out: int) -> Row:
    """Tell how many cells and genes there are."""
    batches = "" if n_batches == 1 else f" in {number(n_batches)} batches"
    reading = f"{number(n_held_out)} of the cells are held out: the model is not trained on them, but tested."
    return Row("Cells and genes", f"{number(n_cells)} cells{batches}, {number(n_genes)} genes", reading)


def library_row(real: Matrix, synthetic: Matrix, n_empty: int) -> Row:
    """Compare counts per cell."""
    texts = []
    for matrix in (real, synthetic):
        low, median, high = np.percentile(row_sums(matrix), [5, 50, 95])
        texts.append(f"{number(median)} ({number(low)} to {number(high)})")
    reading = (
        "Median, and the range of the middle 90 % of cells. Synthetic cells draw theirs from those of real cells; "
        "the two differ only by chance and by how well the model fits."
    )
    if n_empty:
        reading += f" {number(n_empty)} synthetic cells without a single count were left out."
    return Row("Counts per cell", f"real {texts[0]}; synthetic {texts[1]}", reading)


def zeros_row(real: Matrix, synthetic: Matrix) -> Row:
    """Compare the share of zeros."""
    shares = [100 * (1 - np.count_nonzero(_stored(matrix)) / np.prod(matrix.shape)) for matrix in (real, synthetic)]
    reading = "Share of the table of counts that is zero. The third figure shows it gene by gene."
    return Row("Zeros", f"real {shares[0]:.1f} %; synthetic {shares[1]:.1f} %", reading)


def _stored(matrix: Matrix) -> np.ndarray:
    return matrix.data if hasattr(matrix, "indptr") else matrix


def elbo_row(held_out: float, training: float, n_held_out: int) -> Row:
    """Quote the evidence lower bound."""
    value = f"{number(held_out, 1)} nats per held-out cell ({number(training, 1)} per training cell)"
    reading = (
        f"Lower bound on the log-likelihood of {number(n_held_out)} cells that the model was not trained on; higher "
        "is better. Compare it between models of the same cells and genes only. A training value far above the "
        "held-out one is a sign that the model has learnt the training cells by heart."
    )
    return Row("Held-out ELBO", value, reading)


def gap_rows(gap: pd.Series) -> list[Row]:
    """Tell how far the cells lie from the prior that synthetic cells are drawn from."""
    # q(z) is a mixture of n posteriors, so that I(x; z) <= log n and KL(q || p) >= mean KL - log n.
    least = float(gap["mean_kl"] - np.log(gap["n_cells"]))
    full = "The full divergence; 0 if the latent points of real cells follow the prior."
    if least > 0:
        n_cells = number(gap["n_cells"])
        full = (
            f"The full divergence, which {n_cells} cells cannot bring below {number(gap['mean_kl'], 2)} (that of the "
            f"mean cell) \u2212 log {n_cells}, here {number(least, 2)} nats."
        )
    return [
        Row(
            "Prior gap: centre and spread",
            f"{number(gap['kl_gaussian'], 2)} nats",
            "Synthetic cells are drawn from the prior of the latent space. This is the KL divergence from it of a "
            "Gaussian with the mean and the covariance of the real cells; 0 if these are centred and spread as the "
            "prior is.",
        ),
        Row(
            "Prior gap: energy distance",
            number(gap["energy_distance"], 3),
            "Distance between the latent points of real cells and points of the prior; 0 if both follow the same law.",
        ),
        Row(
            "Prior gap: KL divergence",
            f"{number(gap['kl'], 2)} \u00b1 {number(gap['kl_se'], 2)} nats",
            full,
        ),
    ]
