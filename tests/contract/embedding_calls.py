"""Calls of the functions about embeddings, in the style of `calls.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from contract.calls import Call, cells, points

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData


def embedded() -> AnnData:
    adata = cells()
    adata.obsm["X_flat"] = adata.obsm["X_latent"][:, :2]
    return adata


def with_quality() -> tuple[AnnData]:
    adata = embedded()
    scgauge.tl.embedding_quality(adata, basis="X_flat", use_rep="X_latent", n_neighbors=(3, 10), rng=0)
    return (adata,)


CALLS: dict[str, Call] = {
    "metrics.embedding_quality": Call(
        data=lambda: (points(), points()[:, :2]),
        kwargs={"n_neighbors": (3, 10), "rng": 0},
        bad_data=lambda: (points(), np.ones((len(points()), 2))),
        match="at one place",
    ),
    "pl.cell_quality": Call(
        data=with_quality, kwargs={"basis": "X_flat"}, bad={"basis": "X_latent"}, error=KeyError, match="X_latent"
    ),
    "pl.embedding_quality": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.rnx": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.shepard": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "tl.embed": Call(
        data=lambda: (cells(),),
        kwargs={"methods": "pca", "n_pcs": 5, "rng": 0, "progress": False},
        bad={"methods": "isomap"},
        match="isomap",
    ),
    "tl.embedding_quality": Call(
        data=lambda: (embedded(),),
        kwargs={"basis": "X_flat", "use_rep": "X_latent", "n_neighbors": (3, 10), "rng": 0},
        bad={"n_neighbors": 20},
        match=r"n_neighbors has \[20\]",
    ),
}
