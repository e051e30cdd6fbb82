from __future__ import annotations

import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

from scgauge._core.adapter import adapt
from scgauge._core.matrix import row_sums
from scgauge.model import CountVI
from scgauge.report._numbers import Row, elbo_row, gap_rows, library_row, size_row, zeros_row
from scgauge.tl import sample

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from anndata import AnnData

    from scgauge.report._cells import Cells

CountLikelihood = Literal["nb", "zinb", "poisson"]

#: Longest run. On 700 blood cells the held-out ELBO gains less than 0.1 % beyond it.
LONGEST_RUN = 300
#: From here on a word about variable genes saves the user time.
MANY_GENES = 6_000


@dataclass(frozen=True)
class Settings:
    """What a demo is asked to do."""

    max_epochs: int
    n_latent: int
    gene_likelihood: CountLikelihood
    seed: int


@dataclass(frozen=True)
class Trained:
    """A trained model, its latent points of real and synthetic cells, and what was measured on the way."""

    model: CountVI
    latent: np.ndarray
    synthetic: AnnData
    synthetic_latent: np.ndarray
    n_epochs: int
    seconds: float
    rows: list[Row]


def longest_run(n_cells: int) -> int:
    """Epochs of a run: scvi-tools' rule, so that the number of minibatches stays the same above 26,667 cells."""
    return max(1, min(LONGEST_RUN, round(8_000_000 / n_cells)))


def train_and_draw(cells: Cells, settings: Settings, say: Callable[[str], None], *, progress: bool) -> Trained:
    """Train on the cells, draw synthetic ones and measure both.

    Parameters
    ----------
    cells
        Cells that have passed the checks.
    settings
        Model, length of the run, seed.
    say
        What to tell the user with.
    progress
        Whether to show bars.
    """
    adata = cells.for_model()
    CountVI.setup_anndata(adata, batch_key=cells.batch_key)
    model = CountVI(adata, n_latent=settings.n_latent, gene_likelihood=settings.gene_likelihood)
    if adata.n_vars > MANY_GENES:
        say(f"{adata.n_vars:,} genes take long; scgauge.pp.hvg_counts finds those that vary most.")
    say(
        f"Training CountVI on {adata.n_obs:,} cells and {adata.n_vars:,} genes for at most {settings.max_epochs} epochs"
    )
    started = time.perf_counter()
    # scvi-tools prints why it stopped, whether there is a bar or not.
    with nullcontext() if progress else redirect_stdout(StringIO()):
        model.train(
            max_epochs=settings.max_epochs,
            early_stopping=True,
            check_val_every_n_epoch=1,
            enable_progress_bar=progress,
            enable_model_summary=False,
        )
    seconds = time.perf_counter() - started
    n_epochs = len(model.history["elbo_train"])
    held_out = model.validation_indices
    elbo, training_elbo = (float(model.get_elbo(indices=rows)) for rows in (held_out, model.train_indices))
    say(f"Held-out ELBO: {elbo:,.1f} nats per cell after {n_epochs} epochs in {seconds:.0f} s")
    latent = model.get_latent_representation()
    gap = model.get_latent_prior_gap()
    say(f"Drawing {adata.n_obs:,} synthetic cells from the prior")
    synthetic = sample(model, adata.n_obs, rng=settings.seed, progress=progress)
    # Real cells without a count were turned away too: the encoder cannot say anything about them.
    has_counts = row_sums(synthetic.X) > 0
    synthetic = synthetic[has_counts].copy()
    rows = [
        size_row(adata.n_obs, adata.n_vars, int(model.summary_stats.n_batch), len(held_out)),
        elbo_row(elbo, training_elbo, len(held_out)),
        library_row(cells.counts, synthetic.X, int((~has_counts).sum())),
        zeros_row(cells.counts, synthetic.X),
        *gap_rows(gap),
    ]
    return Trained(model, latent, synthetic, adapt(model).encode(adata=synthetic)[0], n_epochs, seconds, rows)
