"""Calls of what knows time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from contract.calls import Call, cells, model, points

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData


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


@cache
def branches() -> scgauge.model.ODEVI:
    adata = snapshots()
    scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    trained = scgauge.model.ODEVI(adata, n_latent=2, n_hidden=8, n_groups=2)
    quick = {"plan_kwargs": {"n_flow_steps": 3}, "enable_progress_bar": False, "accelerator": "cpu"}
    trained.train(max_epochs=1, **quick)
    return trained


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


def bands() -> tuple[pd.DataFrame]:
    rows = [(name, t, "item", t, t - 1, t + 1) for name in ("anna", "bert") for t in (0.0, 1.0)]
    return (pd.DataFrame(rows, columns=["subject", "time", "item", "mean", "lower", "upper"]),)


CALLS: dict[str, Call] = {
    "datasets.simulate_longitudinal": Call(
        data=lambda: (6,), kwargs={"rng": 0}, bad={"n_visits": 1}, match="n_visits=1"
    ),
    "datasets.simulate_splat_paths": Call(
        data=lambda: (30, 20), kwargs={"rng": 0}, bad={"path_from": (0,)}, match="path_from=\\[0\\]"
    ),
    "datasets.simulate_time_series": Call(
        data=lambda: (36, 20), kwargs={"rng": 0}, bad={"n_groups": 9}, match="n_groups=9"
    ),
    "metrics.wasserstein_distance": Call(
        data=lambda: (points(0), points(1)), bad_data=lambda: (points(0), points(1)[:, :2]), match="has 3 columns"
    ),
    "pl.groups": Call(
        data=lambda: (branches(),), bad_data=lambda: (model(),), error=TypeError, match="which has no groups"
    ),
    "pl.held_out_time": Call(data=with_held_out, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.individual_trajectories": Call(data=bands, bad={"items": ["nothing"]}, error=KeyError, match="has no item"),
    "pl.trajectory": Call(data=with_trajectory, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.velocity_field": Call(data=with_velocity, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "tl.held_out_time": Call(
        data=lambda: (snapshots(), fit_dynamics),
        kwargs={"n_cells": 12, "rng": 0, "progress": False},
        bad={"times": [2.0]},
        match="not among the times",
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
