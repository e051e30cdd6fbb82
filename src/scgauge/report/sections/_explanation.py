from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from scgauge.pl import attribution
from scgauge.report import _verdicts
from scgauge.report._section import Picture, Section, Table
from scgauge.tl import attribute

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge.report._subject import Subject

#: Genes named for each latent dimension, and latent dimensions drawn.
_N_GENES, _MOST_TARGETS = 8, 10


def _table(result: dict[str, pd.DataFrame]) -> Table:
    """Leading genes of each latent dimension, and whether weights matter to them."""
    randomised = result["randomised"].set_index("target")["spearman"]
    rows = []
    for target, genes in result["top_genes"].groupby("target", sort=False):
        signs = ["\u2212" if value < 0 else "+" for value in genes["signed"]]
        named = [f"{gene} ({sign})" for gene, sign in zip(genes["gene"], signs, strict=True)][:_N_GENES]
        rows.append([str(target), ", ".join(named), f"{randomised[target]:.2f}"])
    caption = (
        "+ raises the latent dimension and \u2212 lowers it. Right: rank correlation with the ranking by a model whose "
        "weights were shuffled; near 1, the ranking says more about expression than about what was learnt."
    )
    return Table(["Latent dimension", "Leading genes", "Shuffled weights"], rows, caption)


def _figure(cells: AnnData, targets: list[str]) -> Figure:
    figure = Figure(figsize=(8.6, 5.6), layout="constrained")
    attribution(cells, kind="heatmap", targets=targets, n_genes=4, ax=figure.subplots(), show=False)
    return figure


def explanation(subject: Subject) -> Section:
    """Tell which genes drive the latent dimensions, and whether that says something about the model."""
    rows = subject.rows_shown()
    cells = subject.data[rows]
    explained = cells.copy()
    attribute(explained, subject.model, rng=subject.seed, progress=subject.progress)
    result = explained.uns["ig"]
    randomised = result["randomised"].set_index("target")["spearman"]
    error = float(result["completeness"]["error"].max())
    targets = list(result["names"])[:_MOST_TARGETS]
    return Section(
        name="explanation",
        title="Which genes drive it, and does that mean anything?",
        verdict=_verdicts.explanation(randomised, error),
        pictures=[
            Picture.of(
                _figure(explained, targets),
                "Heat map of mean absolute attributions, leading genes against latent dimensions.",
                "Integrated gradients from the mean profile to each cell; each latent dimension scaled to its largest.",
            )
        ],
        tables=[_table(result)],
        limits=[
            "Attributions tell what the encoder reads, not what causes what in the cell.",
            "Latent dimensions of another seed are others: compare seeds before naming one.",
        ],
        code="scgauge.tl.attribute(adata, model)\nscgauge.pl.attribution(adata)",
        numbers={"median_randomised": float(randomised.abs().median()), "completeness_error": error},
    )
