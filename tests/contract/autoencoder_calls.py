"""Calls of the autoencoder family."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from contract.calls import Call, linear_model, normalised

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData


def with_signatures() -> tuple[AnnData]:
    adata = normalised()
    scgauge.tl.signatures(adata, linear_model(), cutoff=0.5)
    return (adata,)


@cache
def _with_activity() -> AnnData:
    (adata,) = with_signatures()
    scgauge.tl.signature_activity(adata, groupby="group", marginal=True)
    return adata


CALLS: dict[str, Call] = {
    "metrics.pareto_fronts": Call(data=lambda: (np.eye(3),), bad_data=lambda: (np.full((2, 2), np.nan),), match="NaN"),
    "metrics.set_overlap": Call(
        data=lambda: (np.eye(3, dtype=bool),), bad_data=lambda: (np.ones(3),), match="n_items, n_sets"
    ),
    "pp.gene_embedding": Call(
        data=lambda: (normalised(),), kwargs={"n_dims": 3, "rng": 0}, bad={"method": "classes"}, match="split_key"
    ),
    "pl.signature_activity": Call(
        data=lambda: (_with_activity().copy(),), bad={"group": "nobody"}, error=KeyError, match="nobody"
    ),
    "pl.signatures": Call(data=with_signatures, bad={"nodes": ["nobody"]}, error=KeyError, match="nobody"),
    "tl.pca_sgd": Call(
        data=lambda: (normalised(),),
        kwargs={"n_comps": 2, "n_epochs": 2, "rng": 0, "progress": False},
        bad={"n_comps": 40},
        match="n_comps=40",
    ),
    "tl.signature_activity": Call(
        data=with_signatures,
        kwargs={"groupby": "group", "marginal": True},
        bad={"groups": ["a", "nobody"]},
        match="nobody",
    ),
    "tl.signatures": Call(
        data=lambda: (normalised(), linear_model()), kwargs={"cutoff": 0.5}, bad={"cutoff": 0}, match="cutoff=0"
    ),
}
