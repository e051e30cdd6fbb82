"""Calls of the autoencoder family."""

from __future__ import annotations

from contract.calls import Call, normalised

CALLS: dict[str, Call] = {
    "tl.pca_sgd": Call(
        data=lambda: (normalised(),),
        kwargs={"n_comps": 2, "n_epochs": 2, "rng": 0, "progress": False},
        bad={"n_comps": 40},
        match="n_comps=40",
    ),
}
