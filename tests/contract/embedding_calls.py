"""Calls of the functions about embeddings, in the style of `calls.py`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from contract.calls import Call, cells, model, points

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


def with_comparison() -> tuple[AnnData]:
    adata = embedded()
    scgauge.tl.compare_embeddings(adata, basis=["X_latent", "X_flat"], n_neighbors=5, rng=0)
    return (adata,)


def with_distortion() -> tuple[AnnData]:
    adata = embedded()
    scgauge.tl.embedding_distortion(adata, basis="X_flat", use_rep="X_latent", n_neighbors=10)
    return (adata,)


ROTATION = {"groupby": "group", "transformations": {"a": {"rotate": 30.0}}, "n_steps": 1, "rng": 0, "progress": False}


@cache
def _turned() -> AnnData:
    adata = cells()
    return scgauge.tl.transform_latent(adata, model(), **ROTATION)


def turned() -> AnnData:
    return _turned().copy()


def with_recovery() -> tuple[AnnData]:
    adata = turned()
    scgauge.tl.transformation_recovery(adata, methods="pca", n_seeds=1, n_pcs=5, rng=0, progress=False)
    return (adata,)


CALLS: dict[str, Call] = {
    "metrics.embedding_distortion": Call(
        data=lambda: (points(), points()[:, :2]),
        kwargs={"n_neighbors": 10},
        bad_data=lambda: (points(), points()[:-1]),
        match="same points",
    ),
    "metrics.embedding_quality": Call(
        data=lambda: (points(), points()[:, :2]),
        kwargs={"n_neighbors": (3, 10), "rng": 0},
        bad_data=lambda: (points(), np.ones((len(points()), 2))),
        match="at one place",
    ),
    "pl.cell_quality": Call(
        data=with_quality, kwargs={"basis": "X_flat"}, bad={"basis": "X_latent"}, error=KeyError, match="X_latent"
    ),
    "pl.compare_embeddings": Call(data=with_comparison, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.distortion": Call(
        data=with_distortion, kwargs={"basis": "X_flat"}, bad={"basis": "X_latent"}, error=KeyError, match="X_latent"
    ),
    "pl.embedding_quality": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "metrics.linear_cka": Call(
        data=lambda: (points(), points()[:, :2]), bad_data=lambda: (points(), points()[:-1]), match="same points"
    ),
    "metrics.procrustes": Call(
        data=lambda: (points(), points()[:, :2]), bad_data=lambda: (points(), points()[:-1]), match="same points"
    ),
    "metrics.sinkhorn_divergence": Call(data=lambda: (points(), points() + 1), bad={"blur": 0.0}, match=r"blur=0\.0"),
    "metrics.transformation_recovery": Call(
        data=lambda: (points(), 2 * points()),
        kwargs={"before": points()[:, :2], "after": 2 * points()[:, :2]},
        bad={"plane": (0, 3)},
        match="plane",
    ),
    "pl.transformation": Call(data=with_recovery, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.transformation_recovery": Call(data=with_recovery, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "tl.transform_latent": Call(
        data=lambda: (cells(), model()),
        kwargs=ROTATION,
        bad={"transformations": {"z": {"rotate": 30.0}}},
        match="'z'",
    ),
    "tl.transformation_recovery": Call(
        data=lambda: (turned(),),
        kwargs={"methods": "pca", "n_seeds": 1, "n_pcs": 5, "rng": 0, "progress": False},
        bad={"methods": "isomap"},
        match="isomap",
    ),
    "pl.rnx": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.shepard": Call(data=with_quality, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "tl.compare_embeddings": Call(
        data=lambda: (embedded(),),
        kwargs={"basis": ["X_latent", "X_flat"], "n_neighbors": (3, 10), "rng": 0},
        bad={"basis": ["X_flat"]},
        match="two or more",
    ),
    "tl.embed": Call(
        data=lambda: (cells(),),
        kwargs={"methods": "pca", "n_pcs": 5, "rng": 0, "progress": False},
        bad={"methods": "isomap"},
        match="isomap",
    ),
    "tl.embedding_distortion": Call(
        data=lambda: (embedded(),),
        kwargs={"basis": "X_flat", "use_rep": "X_latent", "n_neighbors": 10},
        bad={"n_neighbors": 20},
        match=r"n_neighbors has \[20\]",
    ),
    "tl.embedding_stability": Call(
        data=lambda: (cells(),),
        kwargs={
            "methods": "pca",
            "n_runs": 2,
            "subsample": 0.9,
            "n_pcs": 5,
            "n_neighbors": 5,
            "rng": 0,
            "progress": False,
        },
        bad={"n_runs": 1},
        match="n_runs=1",
    ),
    "tl.embedding_quality": Call(
        data=lambda: (embedded(),),
        kwargs={"basis": "X_flat", "use_rep": "X_latent", "n_neighbors": (3, 10), "rng": 0},
        bad={"n_neighbors": 20},
        match=r"n_neighbors has \[20\]",
    ),
}
