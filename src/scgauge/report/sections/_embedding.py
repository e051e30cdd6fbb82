from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure

from scgauge._core.optional import later
from scgauge.pl import cell_quality, rnx
from scgauge.report import _verdicts
from scgauge.report._section import Picture, Section, Table, Verdict
from scgauge.tl import embedding_quality

if TYPE_CHECKING:
    import pandas as pd

    from scgauge.report._subject import Subject

#: Key of the latent points and of a UMAP of them, where the user brought no picture.
_LATENT, _OWN = "X_latent", "X_umap_of_latent"
_SHOWN = {
    "recall": "neighbours kept",
    "trustworthiness": "trustworthiness",
    "continuity": "continuity",
    "auc_lnk": "area under R_NX",
}
_MOST_NEIGHBORS = 15


def _cells(subject: Subject) -> tuple[AnnData, list[str]]:
    """Latent points and pictures of the cells that are shown."""
    scanpy = later("scanpy")
    rows = subject.rows_shown()
    latent = np.asarray(subject.adapter.encode(rows)[0], dtype=np.float32)
    cells = AnnData(np.ones((len(rows), 1), dtype=np.float32), obsm={_LATENT: latent})
    bases = [basis for basis in subject.bases if np.isfinite(np.asarray(subject.adata.obsm[basis])[rows]).all()]
    for basis in bases:
        cells.obsm[basis] = np.asarray(subject.adata.obsm[basis])[rows]
    if not bases:
        n_neighbors = min(_MOST_NEIGHBORS, len(rows) - 1)
        scanpy.pp.neighbors(cells, use_rep=_LATENT, n_neighbors=n_neighbors, transformer="sklearn")
        scanpy.tl.umap(cells, random_state=subject.seed)
        cells.obsm[_OWN] = cells.obsm.pop("X_umap")
        bases = [_OWN]
    return cells, bases


def _table(wide: pd.DataFrame, k: int) -> Table:
    frame = wide[list(_SHOWN)].map(lambda value: f"{value:.2f}")
    frame.columns = [_SHOWN[name] for name in frame.columns]
    frame.insert(0, "Picture", [name.removeprefix("X_") for name in wide.index])
    return Table.of(frame, f"Against the latent space of the model, with {k} neighbours; 1 is perfect, and a random "
                           "picture has an area of 0.")  # fmt: skip


def embedding(subject: Subject) -> Section:
    """Tell whether pictures of the cells show the neighbourhoods of the latent space."""
    cells, bases = _cells(subject)
    if cells.n_obs < 20:
        return Section("embedding", _TITLE, Verdict("unknown", "There are fewer than 20 cells."))
    k = min(_MOST_NEIGHBORS, cells.n_obs // 4)
    embedding_quality(cells, basis=bases, use_rep=_LATENT, n_neighbors=k, rng=subject.seed)
    scores = cells.uns["embedding_quality"]["scores"]
    wide = scores[scores["k"].isin([0, k])].pivot_table(index="basis", columns="metric", values="value")
    verdict = _verdicts.embedding(wide, k)
    lines = Figure(figsize=(5.4, 3.4), layout="constrained")
    rnx(cells, ax=lines.subplots(), show=False)
    pictures = [_trust(cells, basis) for basis in bases]
    pictures.append(
        Picture.of(
            lines,
            "Curves of R_NX over the number of neighbours for each picture.",
            "Quality at every scale: neighbours kept beyond chance, from few neighbours (left) to many (right).",
        )
    )
    return Section(
        name="embedding",
        title=_TITLE,
        verdict=verdict,
        pictures=pictures,
        tables=[_table(wide, k)],
        limits=[
            "A picture is judged by the latent space that it shows; what the latent space itself has lost is not seen.",
            "Two dimensions cannot keep all neighbours of many: compare pictures rather than ask for 1.",
            f"The thresholds ({_verdicts.EMBEDDING[0]} and {_verdicts.EMBEDDING[1]} of trustworthiness and continuity) "
            "are conventions.",
        ],
        code="scgauge.tl.embedding_quality(adata, basis='X_umap', use_rep='X_latent')\n"
        "scgauge.pl.cell_quality(adata, basis='X_umap')",
        numbers={f"{basis}_{metric}": float(wide.loc[basis, metric]) for basis in bases for metric in _SHOWN},
    )


def _trust(cells: AnnData, basis: str) -> Picture:
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    cell_quality(cells, basis=basis, ax=list(figure.subplots(1, 2)), show=False)
    name = basis.removeprefix("X_")
    return Picture.of(
        figure,
        f"{name} coloured by how well the neighbours of each cell are kept.",
        f"Where {name} misleads: dark cells have other neighbours in the picture than in the latent space.",
    )


_TITLE = "Can the picture be believed?"
