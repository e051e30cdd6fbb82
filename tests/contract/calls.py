"""One minimal valid call and one failing call for every public function.

A function that is added to `__all__` needs an entry here; `test_table.py` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

import scgauge

if TYPE_CHECKING:
    from collections.abc import Callable

N_CELLS, N_GENES = 40, 12


def cells(seed: int = 0) -> AnnData:
    """Sparse counts with groups, batches, subjects and a latent space."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3.0, (N_CELLS, N_GENES)).astype(np.float32)
    counts[:, 0] += 1  # no empty cell
    obs = pd.DataFrame(
        {
            "group": pd.Categorical(np.where(np.arange(N_CELLS) % 3 == 0, "a", "b")),
            "batch": pd.Categorical(np.where(np.arange(N_CELLS) < N_CELLS // 2, "one", "two")),
            "subject": [f"s{i % 8}" for i in range(N_CELLS)],
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)])
    latent = rng.normal(size=(N_CELLS, 3))
    return AnnData(sparse.csr_matrix(counts), obs=obs, var=var, obsm={"X_latent": latent})


def normalised() -> AnnData:
    adata = cells()
    counts = adata.X.toarray()
    adata.X = sparse.csr_matrix(np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)))
    return adata


@cache
def model() -> scgauge.model.CountVI:
    """Trained just enough to be asked."""
    adata = cells()
    scgauge.model.CountVI.setup_anndata(adata, batch_key="batch")
    trained = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    trained.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    return trained


@cache
def active_model() -> scgauge.model.CountVI:
    """A model whose latent dimensions say something about cells."""
    adata = cells()
    scgauge.model.CountVI.setup_anndata(adata, batch_key="batch")
    trained = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    trained.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    with torch.no_grad():
        trained.module.z_encoder.mean.weight *= 10
    return trained


def path_end() -> tuple[Callable, torch.Tensor]:
    return (lambda rows: rows.square(), torch.ones(3, 2))


def with_attributions() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.attribute(adata, active_model(), rng=0, progress=False)
    return (adata,)


def with_patterns() -> tuple[pd.DataFrame]:
    table = scgauge.tl.log_linear_patterns(model(), n_genes=2, n_samples=200, alpha=None, rng=0, progress=False)
    return (table,)


def with_distances() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="group", rng=0)
    return (adata,)


def points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_CELLS, 3))


@dataclass(frozen=True, kw_only=True)
class Call:
    """How to call a function, and how to make it fail.

    Attributes
    ----------
    data
        Makes fresh positional arguments.
    kwargs
        Keyword arguments of the valid call.
    bad
        Keyword arguments that, added to the valid ones, make the call fail.
    error, match
        What it raises then.
    bad_data
        Makes the positional arguments of the failing call, where these are what is wrong.
    key_added
        Default of `key_added`, where the signature leaves it to ``None``.
    """

    data: Callable[[], tuple]
    kwargs: dict[str, Any] = field(default_factory=dict)
    bad: dict[str, Any] = field(default_factory=dict)
    error: type[Exception] = ValueError
    match: str = ""
    bad_data: Callable[[], tuple] | None = None
    key_added: str | None = None


CALLS: dict[str, Call] = {
    "datasets.pbmc68k_counts": Call(data=tuple, bad={"layer": "counts"}, error=TypeError, match="layer"),
    "datasets.simulate_binary_blocks": Call(
        data=lambda: (20, 12), kwargs={"rng": 0}, bad={"block_size": 7}, match="n_vars=12"
    ),
    "datasets.simulate_counts": Call(
        data=lambda: (30, 20), kwargs={"n_batches": 2, "rng": 0}, bad={"n_latent": 0}, match="n_latent=0"
    ),
    "metrics.cell_marginals": Call(data=lambda: (cells().X,), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.conditional_association": Call(
        data=lambda: (np.eye(4), np.eye(4)), bad={"strata": np.zeros(3)}, match="same rows"
    ),
    "metrics.distance_ratio": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"] * N_CELLS), match="one group"
    ),
    "metrics.energy_distance": Call(data=lambda: (points(0), points(1)), bad={"estimator": "w"}, match="estimator='w'"),
    "metrics.gene_marginals": Call(data=lambda: (cells().X,), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.integrated_gradients": Call(
        data=path_end, kwargs={"baseline": torch.zeros(3, 2)}, bad={"n_steps": 0}, match="n_steps=0"
    ),
    "metrics.prior_gap": Call(
        data=lambda: (points(), np.ones((N_CELLS, 3))), kwargs={"rng": 0}, bad={"n_samples": 1}, match="n_samples=1"
    ),
    "metrics.silhouette": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"]), match="labels"
    ),
    "metrics.simpson_table": Call(
        data=lambda: ([0, 1, 1, 0], ["A", "B", "A", "B"]),
        kwargs={"stratum": [0, 0, 1, 1]},
        bad={"stratum": [0]},
        match="one label",
    ),
    "pl.attribution": Call(data=with_attributions, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.embedding_overlay": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"basis": "X_latent"},
        bad={"basis": "X_none"},
        error=KeyError,
        match="X_none",
    ),
    "pl.history": Call(data=lambda: (model(),), bad={"ax": [1, 2]}, error=TypeError, match="Axes"),
    "pl.latent_distances": Call(data=with_distances, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.marginals": Call(data=lambda: (cells(0), cells(1)), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.patterns": Call(data=with_patterns, bad_data=lambda: (pd.DataFrame(),), error=TypeError, match="no result"),
    "pp.binarize": Call(data=lambda: (cells(),), bad={"quantile": 1.0}, match="quantile=1.0"),
    "pp.hvg_counts": Call(
        data=lambda: (cells(),), kwargs={"n_top_genes": 3}, bad={"flavor": "cell_ranger"}, match="flavor='cell_ranger'"
    ),
    "pp.recover_counts": Call(data=lambda: (normalised(),), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
    "pp.split": Call(
        data=lambda: (cells(),),
        kwargs={"rng": 0},
        bad={"groupby": "nowhere"},
        error=KeyError,
        match="groupby='nowhere'",
    ),
    "tl.attribute": Call(
        data=lambda: (cells(), active_model()),
        kwargs={"rng": 0, "progress": False},
        bad={"method": "nowhere"},
        match="method='nowhere'",
    ),
    "tl.latent_distances": Call(
        data=lambda: (cells(),),
        kwargs={"use_rep": "X_latent", "groupby": "group", "rng": 0},
        bad={"groupby": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "tl.log_linear_patterns": Call(
        data=lambda: (model(),),
        kwargs={"n_genes": 2, "n_samples": 200, "alpha": None, "rng": 0, "progress": False},
        bad={"quantile": 1.0},
        match="quantile=1.0",
    ),
    "tl.sample": Call(
        data=lambda: (model(), 5),
        kwargs={"rng": 0, "progress": False},
        bad={"source": "nowhere"},
        match="source='nowhere'",
    ),
}

#: Functions that read public data from disk or the network; their own tests call them.
LOADERS = frozenset(
    {
        "datasets.baron_cider",
        "datasets.clinical_dummy_smartcare",
        "datasets.covid_balf_liao2020",
        "datasets.dorothea",
        "datasets.gene_sets",
        "datasets.hemato_tusi2018",
        "datasets.klein2015_subset",
        "datasets.pbmc_facs",
        "datasets.pbmc_scvijl",
        "datasets.sc_mixology",
        "datasets.scgen_kang",
        "datasets.schiebinger_moscot1000",
        "datasets.tasic2016",
        "datasets.worm_embryo",
        "datasets.zeisel2015_descend",
    }
)
