"""ODEVI of snapshots with baseline variables in other units."""

import numpy as np
import pytest
import scvi
import torch
from cells import train_quietly

from scgauge.datasets import simulate_time_series
from scgauge.model import ODEVI


def fit(unit, zero, key):
    """Fit, with an age in some unit; the mean latent points predicted between two times."""
    adata = simulate_time_series(240, 30, times=(0, 1, 2, 4), rng=0)
    adata.obs["age"] = unit * np.random.default_rng(0).normal(size=240) + zero
    adata.obsm["table"] = adata.obs[["age"]].copy()
    scvi.settings.seed = 0
    ODEVI.setup_anndata(adata, time_key="time", **key)
    model = ODEVI(adata, n_latent=2, n_hidden=16, dynamics="affine")
    train_quietly(model, max_epochs=2, accelerator="cpu", plan_kwargs={"n_flow_steps": 60})
    ages = torch.tensor(adata.obs[["age"]].to_numpy(np.float32))
    assert float(model.module.parameter_net.individual(ages).detach().std()) > 0.01  # they are read
    return model.predict_state(times=[3.0], kind="latent", rng=0).X


@pytest.mark.parametrize("key", [{"baseline_keys": ["age"]}, {"baseline_obsm_key": "table"}])
def test_the_units_of_baseline_variables_do_not_matter(key):
    np.testing.assert_allclose(fit(1.0, 0.0, key), fit(365.0, 7000.0, key), rtol=1e-2, atol=1e-2)
