from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from scgauge.pl import memorization as draw_memorization
from scgauge.report import _verdicts
from scgauge.report._section import Picture, Section, Verdict
from scgauge.tl import memorization

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.report._subject import Subject

_TITLE = "Are its cells new, and no copies?"


def memory(subject: Subject, drawn: AnnData) -> Section:
    """Tell whether synthetic cells are copies of training cells."""
    if len(subject.unseen()) == 0:
        return Section(
            name="memory",
            title=_TITLE,
            verdict=Verdict("unknown", "All cells were used for training: copies cannot be told from good cells."),
            text=["Train with train_size=0.9 to hold a tenth of the cells out."],
        )
    memorization(subject.data, drawn, model=subject.model, layer=subject.layer, rng=subject.seed)
    result = drawn.uns["memorization"]
    figure = Figure(figsize=(8.2, 3.3), layout="constrained")
    draw_memorization(drawn, ax=list(figure.subplots(1, 2)), show=False)
    scores = result["scores"].set_index("statistic")["value"]
    return Section(
        name="memory",
        title=_TITLE,
        verdict=_verdicts.memory(copies=bool(result["copies"])),
        pictures=[
            Picture.of(
                figure,
                "Left: distances to the nearest training cell. Right: shares against what no memory would give.",
                "Copies lie far to the left of cells that were held out; dots on their bars show no memory.",
            )
        ],
        limits=[
            "Cells are compared in principal components of variable genes; a copy hidden by much noise is not seen.",
            "That no copies were found is no proof of privacy.",
        ],
        code="scgauge.tl.memorization(adata, synthetic, model=model)\nscgauge.pl.memorization(synthetic)",
        numbers={str(name): float(value) for name, value in scores.items()},
    )
