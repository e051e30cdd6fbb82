"""Calls of what explains a model."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from contract.calls import Call, cells, model

import scgauge

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


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


def with_groups() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.attribution_by_group(adata, active_model(), groupby="group", progress=False)
    return (adata,)


SOURCES = {"IG": ["ig", "again"], "markers": "rank_genes_groups"}


def to_compare() -> tuple[AnnData]:
    (adata,) = with_attributions()
    adata.varm["again"] = adata.varm["ig"][::-1].copy()
    names = [("gene0", "gene3"), ("gene1", "gene2")]
    adata.uns["rank_genes_groups"] = {
        "names": np.array(names, dtype=[("a", "U9"), ("b", "U9")]),
        "scores": np.array([(2.0, 3.0), (1.0, 1.0)], dtype=[("a", "f4"), ("b", "f4")]),
    }
    return (adata,)


def with_comparison() -> tuple[AnnData]:
    (adata,) = to_compare()
    scgauge.tl.compare_attributions(adata, sources=SOURCES, n_top=[2])
    return (adata,)


def dreamt() -> tuple[AnnData]:
    return (scgauge.tl.dream(cells(), active_model(), target=0, n_steps=5, rng=0, progress=False),)


def mapped() -> tuple[scgauge.tl.PatternMap]:
    return (scgauge.tl.pattern_map(cells(), genes=["gene0", "gene1"]),)


def with_patterns() -> tuple[pd.DataFrame]:
    table = scgauge.tl.log_linear_patterns(model(), n_genes=2, n_samples=200, alpha=None, rng=0, progress=False)
    return (table,)


CALLS: dict[str, Call] = {
    "metrics.conditional_association": Call(
        data=lambda: (np.eye(4), np.eye(4)), bad={"strata": np.zeros(3)}, match="same rows"
    ),
    "metrics.homogeneous_association": Call(
        data=lambda: (np.eye(4), np.eye(4)), bad={"given": np.zeros((3, 1))}, match="rows must agree"
    ),
    "metrics.integrated_gradients": Call(
        data=path_end, kwargs={"baseline": torch.zeros(3, 2)}, bad={"n_steps": 0}, match="n_steps=0"
    ),
    "metrics.simpson_table": Call(
        data=lambda: ([0, 1, 1, 0], ["A", "B", "A", "B"]),
        kwargs={"stratum": [0, 0, 1, 1]},
        bad={"stratum": [0]},
        match="one label",
    ),
    "pl.attribution": Call(data=with_attributions, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.attribution_by_group": Call(data=with_groups, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.compare_attributions": Call(data=with_comparison, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.dream": Call(data=dreamt, bad_data=lambda: (cells(),), error=TypeError, match="no path"),
    "pl.pattern_map": Call(data=mapped, bad_data=lambda: (cells(),), error=TypeError, match="is AnnData"),
    "pl.patterns": Call(data=with_patterns, bad_data=lambda: (pd.DataFrame(),), error=TypeError, match="no result"),
    "tl.annotate_by_pattern": Call(
        data=lambda: (cells(), cells(1)),
        kwargs={"genes": ["gene0", "gene1"], "labels_key": "group"},
        bad={"genes": ["nowhere"]},
        error=KeyError,
        match="nowhere",
    ),
    "tl.attribute": Call(
        data=lambda: (cells(), active_model()),
        kwargs={"rng": 0, "progress": False},
        bad={"method": "nowhere"},
        match="method='nowhere'",
    ),
    "tl.attribution_by_group": Call(
        data=lambda: (cells(), active_model()),
        kwargs={"groupby": "group", "progress": False},
        bad={"groupby": "nowhere"},
        error=KeyError,
        match="groupby='nowhere'",
    ),
    "tl.compare_attributions": Call(
        data=to_compare,
        kwargs={"sources": SOURCES},
        bad={"sources": {"IG": "nowhere"}},
        error=KeyError,
        match="nowhere",
    ),
    "tl.dream": Call(
        data=lambda: (cells(), active_model()),
        kwargs={"target": 0, "n_steps": 5, "rng": 0, "progress": False},
        bad={"start": "nowhere"},
        error=KeyError,
        match="start='nowhere'",
    ),
    "tl.log_linear_patterns": Call(
        data=lambda: (model(),),
        kwargs={"n_genes": 2, "n_samples": 200, "alpha": None, "rng": 0, "progress": False},
        bad={"quantile": 1.0},
        match="quantile=1.0",
    ),
    "tl.pattern_map": Call(
        data=lambda: (cells(),), kwargs={"genes": ["gene0", "gene1"]}, bad={"n_patterns": 0}, match="n_patterns=0"
    ),
}
