"""One minimal valid call and one failing call for every public function.

A function that is added to `__all__` needs an entry here or in another file that `table.py` joins.
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


@cache
def linear_model() -> scgauge.model.LinearVI:
    """Trained just enough to have loadings."""
    adata = cells()
    scgauge.model.LinearVI.setup_anndata(adata, batch_key="batch")
    trained = scgauge.model.LinearVI(adata, n_latent=2, n_hidden=8)
    trained.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    return trained


def with_loadings() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.loadings(adata, linear_model(), n_genes=4)
    return (adata,)


def runs() -> list[pd.DataFrame]:
    loadings = pd.DataFrame(points(), columns=["Z_0", "Z_1", "Z_2"])
    return [loadings, loadings.iloc[:, ::-1]]


def with_distances() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="group", rng=0)
    return (adata,)


def binary(seed: int = 0) -> AnnData:
    adata = cells(seed)
    scgauge.pp.binarize(adata, threshold=3)
    return adata


def more_cells(seed: int, n_cells: int) -> AnnData:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2, 2, (n_cells, N_GENES))).astype(np.float32)
    counts[:, 0] += 1
    names = [f"cell{seed}_{i}" for i in range(n_cells)]
    return AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame(index=names), var=cells().var)


def real_and_synthetic() -> tuple[AnnData, AnnData]:
    return more_cells(0, 160), more_cells(1, 60)


@cache
def larger_model() -> scgauge.model.CountVI:
    """With enough cells held out to score against."""
    adata = more_cells(0, 120)
    scgauge.model.CountVI.setup_anndata(adata)
    trained = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    trained.train(max_epochs=1, train_size=0.75, enable_progress_bar=False, accelerator="cpu")
    return trained


@cache
def _scored() -> AnnData:
    real, synthetic = real_and_synthetic()
    scgauge.tl.synthetic_quality(real, synthetic, n_splits=2, rng=0)
    return synthetic


def scored() -> tuple[AnnData]:
    return (_scored().copy(),)


def remembered() -> tuple[AnnData]:
    real, synthetic = real_and_synthetic()
    scgauge.tl.memorization(real, synthetic, holdout=more_cells(2, 60), n_bootstrap=5, rng=0)
    return (synthetic,)


def curve() -> pd.DataFrame:
    rows = [(n, 0, family, "mean", "rmse", 10 / n) for n in (50, 100) for family in ("genes", "cells")]
    return pd.DataFrame(rows, columns=["n_obs", "seed", "family", "property", "statistic", "scaled"])


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
    "metrics.classifier_two_sample": Call(
        data=lambda: (points(0), points(1)),
        kwargs={"rng": 0},
        bad={"classifier": "forest"},
        match="classifier='forest'",
    ),
    "metrics.compare_log_odds": Call(
        data=lambda: (binary(0).layers["binary"], binary(1).layers["binary"]),
        bad={"correction": "none"},
        match="correction='none'",
    ),
    "metrics.density_coverage": Call(
        data=lambda: (points(0), points(1)), bad={"n_neighbors": 40}, match="n_neighbors=40"
    ),
    "metrics.dependence": Call(data=lambda: (points(),), bad={"kind": "kendall"}, match="kind='kendall'"),
    "metrics.distance_ratio": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"] * N_CELLS), match="one group"
    ),
    "metrics.energy_distance": Call(data=lambda: (points(0), points(1)), bad={"estimator": "w"}, match="estimator='w'"),
    "metrics.gene_marginals": Call(data=lambda: (cells().X,), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.match_loadings": Call(
        data=lambda: (points(), points(1)), bad_data=lambda: (points(), np.ones((3, 2))), match="3"
    ),
    "metrics.varimax": Call(data=lambda: (points(),), bad_data=lambda: (np.ones(3),), match=r"\(3,\)"),
    "metrics.independent_copy": Call(
        data=lambda: (cells().X,), kwargs={"rng": 0}, bad_data=lambda: (np.ones(3),), match=r"\(3,\)"
    ),
    "metrics.log_odds_ratio": Call(
        data=lambda: (binary().layers["binary"],), bad_data=lambda: (cells().X,), match="only 0 and 1"
    ),
    "metrics.matrix_agreement": Call(
        data=lambda: (np.corrcoef(points(0).T), np.corrcoef(points(1).T)),
        bad_data=lambda: (np.eye(3), np.eye(2)),
        match="found",
    ),
    "metrics.memorization": Call(
        data=lambda: (points(0), points(1)),
        kwargs={"holdout": points(2), "n_bootstrap": 5, "rng": 0},
        bad={"n_bootstrap": 1},
        match="n_bootstrap=1",
    ),
    "metrics.neighbor_mixing": Call(
        data=lambda: (points(0), points(1)), bad={"n_neighbors": 40}, match="n_neighbors=40"
    ),
    "metrics.poisson_copy": Call(
        data=lambda: (cells().X,), kwargs={"rng": 0}, bad_data=lambda: (points(),), match="negative"
    ),
    "metrics.prior_gap": Call(
        data=lambda: (points(), np.ones((N_CELLS, 3))), kwargs={"rng": 0}, bad={"n_samples": 1}, match="n_samples=1"
    ),
    "metrics.silhouette": Call(
        data=lambda: (points(), cells().obs["group"]), bad_data=lambda: (points(), ["a"]), match="labels"
    ),
    "metrics.two_sample_test": Call(
        data=lambda: (points(0), points(1)),
        kwargs={"n_permutations": 19, "rng": 0},
        bad={"statistic": "euclid"},
        match="statistic='euclid'",
    ),
    "pl.correlation_agreement": Call(
        data=lambda: (cells(0), cells(1)), bad={"kind": "kendall"}, match="kind='kendall'"
    ),
    "pl.embedding_overlay": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"basis": "X_latent"},
        bad={"basis": "X_none"},
        error=KeyError,
        match="X_none",
    ),
    "pl.factor_scatter": Call(data=with_loadings, bad={"factors": ["Z_9"]}, error=KeyError, match="Z_9"),
    "pl.factor_stability": Call(
        data=lambda: (scgauge.tl.match_factors(runs()),), bad={"ax": [1]}, error=TypeError, match="Axes"
    ),
    "pl.loadings": Call(data=with_loadings, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.history": Call(data=lambda: (model(),), bad={"ax": [1, 2]}, error=TypeError, match="Axes"),
    "pl.latent_distances": Call(data=with_distances, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.learning_curve": Call(data=lambda: (curve(),), bad_data=lambda: ([1],), error=TypeError, match="list"),
    "pl.log_odds": Call(data=lambda: (binary(0), binary(1)), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.marginals": Call(data=lambda: (cells(0), cells(1)), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.memorization": Call(data=remembered, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.synthetic_quality": Call(data=scored, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.two_sample": Call(
        data=lambda: (scgauge.tl.two_sample_test(points(0), points(1), n_permutations=19, rng=0),),
        bad_data=lambda: ({"pvalue": 1},),
        error=TypeError,
        match="two_sample_test",
    ),
    "pp.binarize": Call(data=lambda: (cells(),), bad={"quantile": 1.0}, match="quantile=1.0"),
    "pp.gene_set_mask": Call(
        data=lambda: (cells(),),
        kwargs={"gene_sets": {"first": [f"gene{i}" for i in range(6)]}},
        bad={"min_genes": 7},
        match="None of the 1 gene sets",
    ),
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
    "tl.compare_sources": Call(
        data=lambda: (larger_model(),),
        kwargs={"n_splits": 2, "rng": 0, "progress": False},
        bad={"n_splits": 1},
        match="n_splits=1",
    ),
    "tl.compare_log_odds": Call(
        data=lambda: (binary(0), binary(1)), bad={"layer": "nowhere"}, error=KeyError, match="nowhere"
    ),
    "tl.latent_distances": Call(
        data=lambda: (cells(),),
        kwargs={"use_rep": "X_latent", "groupby": "group", "rng": 0},
        bad={"groupby": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "tl.loadings": Call(
        data=lambda: (cells(), linear_model()),
        kwargs={"n_genes": 4},
        bad={"rotation": "promax"},
        match="rotation='promax'",
    ),
    "tl.match_factors": Call(data=lambda: (runs(),), bad_data=lambda: (runs()[:1],), match="Found 1 run"),
    "tl.learning_curve": Call(
        data=lambda: (more_cells(0, 330),),
        kwargs={"fit": lambda cells, seed: more_cells(seed, 140), "sizes": [50], "n_seeds": 1, "rng": 0}
        | {"progress": False},
        bad={"sizes": [500]},
        match="sizes",
    ),
    "tl.log_odds_ratio": Call(data=lambda: (binary(),), bad={"layer": None}, match="binarize"),
    "tl.memorization": Call(
        data=real_and_synthetic,
        kwargs={"holdout": more_cells(2, 60), "n_bootstrap": 5, "rng": 0},
        bad={"holdout": None},
        match="holdout",
    ),
    "tl.sample": Call(
        data=lambda: (model(), 5),
        kwargs={"rng": 0, "progress": False},
        bad={"source": "nowhere"},
        match="source='nowhere'",
    ),
    "tl.synthetic_quality": Call(
        data=real_and_synthetic,
        kwargs={"n_splits": 2, "rng": 0, "progress": False},
        bad={"n_splits": 1},
        match="n_splits=1",
    ),
    "tl.two_sample_test": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"n_permutations": 19, "rng": 0},
        bad={"use_rep": "X_none"},
        error=KeyError,
        match="X_none",
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
