"""Velocities of ODEVI in CellRank: random walks along them go forward in real time."""

import numpy as np
import pytest
import scanpy as sc
import scvi
from cells import train_quietly

from scgauge.datasets import simulate_time_series
from scgauge.model import ODEVI
from scgauge.tl import velocity

pytest.importorskip("cellrank", reason="CellRank is not installed")
TIMES = (0.0, 1.0, 2.0, 3.0, 4.0)


@pytest.fixture(scope="module")
def adata():
    """One way from the first snapshot to the last, with its velocities and their opposites."""
    scvi.settings.seed = 0
    adata = simulate_time_series(200, 60, times=TIMES, n_groups=1, spread=0.1, library_size=3000, rng=0)
    ODEVI.setup_anndata(adata, time_key="time")
    model = ODEVI(adata, n_latent=2, n_hidden=32)
    train_quietly(model, max_epochs=60, accelerator="cpu", plan_kwargs={"n_flow_steps": 200})
    velocity(adata, model)
    adata.obsm["reversed"] = -adata.obsm["velocity"]
    sc.pp.neighbors(adata, use_rep="X_velocity", n_neighbors=15)
    return adata


def kernel(adata, key):
    from cellrank.kernels import VelocityKernel

    made = VelocityKernel(adata, attr="obsm", xkey="X_velocity", vkey=key)
    return made.compute_transition_matrix(show_progress_bar=False)


@pytest.mark.parametrize(("key", "begin", "end"), [("velocity", 0.0, 4.0), ("reversed", 4.0, 0.0)])
def test_walks_lead_from_one_end_of_the_series_to_the_other(adata, key, begin, end):
    transition, time = kernel(adata, key).transition_matrix, adata.obs["time"].to_numpy()
    share = (time == begin) / (time == begin).sum()
    for _ in range(100):
        share = transition.T @ share
    np.testing.assert_allclose(share @ time, end, atol=0.4)


@pytest.mark.parametrize(("key", "end"), [("velocity", 4.0), ("reversed", 0.0)])
def test_the_terminal_macrostate_lies_at_the_end(adata, key, end):
    from cellrank.estimators import GPCCA

    estimator = GPCCA(kernel(adata, key)).compute_macrostates(n_states=1)
    terminal = estimator.set_terminal_states().terminal_states.notna().to_numpy()
    assert terminal.sum() > 10
    np.testing.assert_allclose(adata.obs["time"][terminal].mean(), end, atol=0.5)
