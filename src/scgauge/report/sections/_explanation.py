from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scgauge.pl import attribution
from scgauge.report import _verdicts
from scgauge.report._section import Picture, Section, Table
from scgauge.tl import attribute, compare_attributions, loadings

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.report._subject import Subject

#: Genes named for each latent dimension, and latent dimensions drawn.
_N_GENES, _MOST_TARGETS = 8, 10
#: Genes whose overlap is compared, as a share of all; the most of them; and cells of the second explanation.
_SHARE_COMPARED, _MOST_COMPARED, _N_CELLS_COMPARED = 0.1, 20, 200


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


def _second(subject: Subject, cells: AnnData) -> tuple[str, str | pd.DataFrame]:
    """Explain the same model in another way: by its decoder if that is linear, else from other baselines."""
    if "loadings" in subject.adapter.capabilities:
        loadings(cells, subject.model)
        return "loadings of the decoder", "loadings"
    some = cells[np.linspace(0, cells.n_obs - 1, min(_N_CELLS_COMPARED, cells.n_obs)).astype(int)].copy()
    attribute(some, subject.model, method="expected_gradients", n_references=3, rng=subject.seed, progress=False)
    named = pd.DataFrame(some.varm["ig"], index=some.var_names, columns=list(some.uns["ig"]["names"]))
    return "gradients from random cells to each cell, in place of the mean profile", named


def _agreement(subject: Subject, cells: AnnData) -> tuple[Table, dict[str, float]]:
    """Compare the attributions of `cells` with another explanation of the model."""
    name, source = _second(subject, cells)
    n_top = max(1, min(_MOST_COMPARED, round(_SHARE_COMPARED * cells.n_vars)))
    compare_attributions(cells, sources={"attributions": "ig", name: source}, n_top=[n_top])
    pairs = cells.uns["compare_attributions"]["pairs"].set_index("statistic")
    numbers = {
        "agreement_overlap": float(pairs.loc["overlap", "value"]),
        "agreement_chance": float(pairs.loc["overlap", "chance"]),
        "agreement_rank_correlation": float(pairs["value"].get("rank_correlation", np.nan)),
    }
    row = [name, *(f"{numbers[f'agreement_{key}']:.2f}" for key in ("overlap", "chance", "rank_correlation"))]
    columns = ["Second explanation", f"First {n_top} genes in common", "By chance", "Rank correlation"]
    caption = "Do two explanations of this model name the same genes? What they agree on is not yet true of the cells."
    return Table(columns, [row], caption), numbers


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
    agreement, agreed = _agreement(subject, explained)
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
        tables=[_table(result), agreement],
        limits=[
            "Attributions tell what the encoder reads, not what causes what in the cell.",
            "Latent dimensions of another seed are others: compare seeds before naming one.",
        ],
        code=(
            "scgauge.tl.attribute(adata, model)\nscgauge.pl.attribution(adata)\n"
            "scgauge.tl.compare_attributions(adata, sources={...})  # other methods, other seeds, other models"
        ),
        numbers={"median_randomised": float(randomised.abs().median()), "completeness_error": error} | agreed,
    )
