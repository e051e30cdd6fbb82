"""One minimal valid call and one failing call for every public function.

A function that is added to `__all__` needs an entry here; `test_table.py` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
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


def snapshots() -> AnnData:
    """Cells of three times."""
    adata = cells()
    adata.obs["time"] = np.repeat([0.0, 1.0, 3.0], [14, 13, 13])
    return adata


def fit_dynamics(adata: AnnData, seed: int) -> scgauge.model.ODEVI:
    scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    trained = scgauge.model.ODEVI(adata, n_latent=2, n_hidden=8)
    quick = {"plan_kwargs": {"n_flow_steps": 3}, "enable_progress_bar": False, "accelerator": "cpu"}
    trained.train(max_epochs=1, **quick)
    return trained


@cache
def dynamics() -> scgauge.model.ODEVI:
    return fit_dynamics(snapshots(), 0)


def with_trajectory() -> tuple[AnnData]:
    adata = snapshots()
    scgauge.tl.trajectory(adata, dynamics(), n_cells=3, rng=0)
    return (adata,)


def with_velocity() -> tuple[AnnData]:
    adata = snapshots()
    scgauge.tl.velocity(adata, dynamics())
    return (adata,)


@cache
def _held_out() -> AnnData:
    adata = snapshots()
    scgauge.tl.held_out_time(adata, fit_dynamics, n_cells=12, rng=0, progress=False)
    return adata


def with_held_out() -> tuple[AnnData]:
    return (_held_out().copy(),)


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
    "datasets.simulate_longitudinal": Call(
        data=lambda: (6,), kwargs={"rng": 0}, bad={"n_visits": 1}, match="n_visits=1"
    ),
    "datasets.simulate_splat_paths": Call(
        data=lambda: (30, 20), kwargs={"rng": 0}, bad={"path_from": (0,)}, match="path_from=\\[0\\]"
    ),
    "datasets.simulate_time_series": Call(
        data=lambda: (36, 20), kwargs={"rng": 0}, bad={"n_groups": 9}, match="n_groups=9"
    ),
    "metrics.cell_marginals": Call(data=lambda: (cells().X,), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.distance_ratio": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"] * N_CELLS), match="one group"
    ),
    "metrics.energy_distance": Call(data=lambda: (points(0), points(1)), bad={"estimator": "w"}, match="estimator='w'"),
    "metrics.gene_marginals": Call(data=lambda: (cells().X,), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.prior_gap": Call(
        data=lambda: (points(), np.ones((N_CELLS, 3))), kwargs={"rng": 0}, bad={"n_samples": 1}, match="n_samples=1"
    ),
    "metrics.wasserstein_distance": Call(
        data=lambda: (points(0), points(1)), bad_data=lambda: (points(0), points(1)[:, :2]), match="has 3 columns"
    ),
    "metrics.silhouette": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"]), match="labels"
    ),
    "pl.embedding_overlay": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"basis": "X_latent"},
        bad={"basis": "X_none"},
        error=KeyError,
        match="X_none",
    ),
    "pl.held_out_time": Call(data=with_held_out, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.history": Call(data=lambda: (model(),), bad={"ax": [1, 2]}, error=TypeError, match="Axes"),
    "pl.latent_distances": Call(data=with_distances, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.marginals": Call(data=lambda: (cells(0), cells(1)), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.trajectory": Call(data=with_trajectory, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.velocity_field": Call(data=with_velocity, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
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
    "tl.held_out_time": Call(
        data=lambda: (snapshots(), fit_dynamics),
        kwargs={"n_cells": 12, "rng": 0, "progress": False},
        bad={"times": [2.0]},
        match="not among the times",
    ),
    "tl.latent_distances": Call(
        data=lambda: (cells(),),
        kwargs={"use_rep": "X_latent", "groupby": "group", "rng": 0},
        bad={"groupby": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "tl.sample": Call(
        data=lambda: (model(), 5),
        kwargs={"rng": 0, "progress": False},
        bad={"source": "nowhere"},
        match="source='nowhere'",
    ),
    "tl.trajectory": Call(
        data=lambda: (snapshots(), dynamics()), kwargs={"n_cells": 3, "rng": 0}, bad={"n_cells": 0}, match="n_cells=0"
    ),
    "tl.velocity": Call(
        data=lambda: (snapshots(), dynamics()),
        bad_data=lambda: (snapshots(), model()),
        error=TypeError,
        match="has no dynamics",
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
