from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scgauge.pl import synthetic_quality as draw_scoreboard
from scgauge.report import _verdicts
from scgauge.report._figures import joint_umap, marginals_figure, overlay_figure
from scgauge.report._section import Picture, Section, Table
from scgauge.tl import compare_sources, sample, synthetic_quality
from scgauge.tl._cell_space import Cells, CellSpace, kind_of
from scgauge.tl._comparison import FEWEST
from scgauge.tl._split_real import rows_in_order

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.report._subject import Subject

#: Inches of the scoreboard, and genes named as those that give synthetic cells away.
_BOARD, _N_FEATURES = (7.2, 6.6), 12
#: Genes and principal components of the picture.
_N_GENES, _N_PCS = 2000, 30
_SOURCES: dict[Literal["prior", "aggregate", "posterior"], str] = {
    "prior": "invented from nothing",
    "aggregate": "from where the real cells lie",
    "posterior": "each redrawn from one real cell",
}


def drawn_cells(subject: Subject) -> dict[str, AnnData]:
    """Synthetic cells from prior, posterior and aggregate posterior, with their scores.

    A model that has seen all of its cells, or all but a few, is scored against a random half of them.
    """
    n_obs = min(len(subject.adapter.training_cells()), subject.n_cells)
    if len(subject.unseen()) >= FEWEST:
        return compare_sources(subject.model, n_obs=n_obs, rng=subject.seed, progress=subject.progress)
    cells: dict[str, AnnData] = {}
    for source in _SOURCES:
        cells[source] = sample(subject.model, n_obs, source=source, rng=subject.seed, progress=subject.progress)
        synthetic_quality(subject.data, cells[source], layer=subject.layer, rng=subject.seed, progress=subject.progress)
    return cells


def _overall(cells: AnnData) -> pd.Series:
    table = cells.uns["synthetic_quality"]["overall"]
    return table[table["group"] == ""].set_index("family")["scaled"]


def _score_table(cells: dict[str, AnnData]) -> Table:
    """Means of families by source of the cells."""
    scores = pd.DataFrame({name: _overall(cells[name]) for name in _SOURCES})
    families = [*_verdicts.FAMILIES, "all"]
    frame = scores.reindex(families).map(lambda value: "\u2013" if np.isnan(value) else f"{value:.2f}")
    frame.insert(0, "Score", [_verdicts.FAMILIES.get(name, "all of them") for name in families])
    frame.columns = ["Score", *(f"{name}: {meaning}" for name, meaning in _SOURCES.items())]
    caption = (
        "0 is as good as real cells that were held out, 1 as bad as a copy made wrong on purpose (genes made "
        "independent, or counts without biology)."
    )
    return Table.of(frame, caption)


def _board(cells: dict[str, AnnData]) -> Picture:
    figure = Figure(figsize=_BOARD, layout="constrained")
    draw_scoreboard(cells, ax=figure.subplots(), show=False)
    return Picture.of(
        figure,
        "Scoreboard: one row for each property of synthetic cells, between real cells at 0 and wrong copies at 1.",
        "Each row is one property; left is better. A row without a dot cannot be told with so few cells.",
    )


def _umap(subject: Subject, drawn: AnnData) -> Picture:
    """One UMAP of real and synthetic cells in principal components of the real ones."""
    rows = subject.rows_shown()
    real = rows_in_order(subject.data, subject.layer, rows)
    space = CellSpace(real, kind_of(real), _N_GENES, _N_PCS, subject.seed)
    synthetic = rows_in_order(drawn, None)[: len(rows)]
    points = joint_umap(Cells(real, space).points, Cells(synthetic, space).points, subject.seed)
    labels = None if subject.labels is None else subject.labels.iloc[rows]
    return Picture.of(
        overlay_figure(*points, labels),
        "UMAP of real cells in blue and synthetic cells in orange.",
        "One UMAP of real and synthetic cells, in principal components of the real ones and without the model. Only "
        "blue: a kind of cell that the model does not draw. Only orange: cells that exist in the model alone.",
    )


def _marginals(subject: Subject, drawn: AnnData) -> Picture:
    return Picture.of(
        marginals_figure(subject.data, drawn, subject.layer),
        "Three scatter plots with a dot for each gene: variance against mean, and zero fractions.",
        "Left: above the dashed line is more than counting noise; both trends should agree. Middle: on the diagonal "
        "genes are as often silent in synthetic cells as in real ones. Right: orange below blue means too few zeros.",
    )


def _gap(drawn: AnnData) -> list[str]:
    gap = drawn.uns.get("prior_gap")
    if gap is None:
        return []
    return [
        f"Cells invented from nothing come from the prior of the latent space; real cells lie {gap['kl']:.2f} nats "
        f"(KL divergence, standard error {gap['kl_se']:.2f}) from it. Where the first column of scores is much worse "
        "than the second, this gap is the fault; where both are bad, decoder or likelihood are."
    ]


def _telling_genes(drawn: AnnData) -> list[str]:
    table = drawn.uns["synthetic_quality"]["features"]
    genes = table.loc[table["group"] == "", "gene"].head(_N_FEATURES)
    return [f"Genes by which a classifier tells synthetic from real cells best: {', '.join(genes)}."]


def synthetic(subject: Subject, cells: dict[str, AnnData]) -> Section:
    """Tell whether the cells that a model draws are like real ones."""
    drawn = cells["prior"]
    overall = _overall(drawn)
    seen = []
    if len(subject.unseen()) < FEWEST:
        seen = ["Too few cells were held out: these are compared with training cells, and learning by heart passes."]
    pictures = [_board(cells), _umap(subject, drawn)]
    if subject.counts:
        pictures.append(_marginals(subject, drawn))
    return Section(
        name="synthetic",
        title="Are the cells that it invents like real ones?",
        verdict=_verdicts.synthetic(overall),
        text=[*_gap(drawn), *_telling_genes(drawn)],
        pictures=pictures,
        tables=[_score_table(cells)],
        limits=[
            "A generative model that passes can still be wrong about cells that were never measured.",
            "With few cells only large faults can be seen: rows that cannot be told apart are left empty.",
            *seen,
        ],
        code="cells = scgauge.tl.compare_sources(model, rng=0)\nscgauge.pl.synthetic_quality(cells)",
        numbers={f"score_{family}": float(value) for family, value in overall.items()},
    )
