"""Training and reading of models on a device other than the CPU, here one that is only pretended."""

import numpy as np
import pytest
import scvi
import torch
from device_cases import COUNTING, MODELS, train_case
from lightning.pytorch.strategies import SingleDeviceStrategy
from pretend_device import DEVICE, PretendDevice, to_host

import scgauge

#: Functions that run in every step: of Lightning, of the loader, and of what fits a field to snapshots.
STEPS = {"training_step", "optimizer_step", "take", "batch_to_device", "draw", "_missed"}


@pytest.mark.parametrize(
    ("case", "cells"), [*((case, "there") for case in MODELS), ("zinb", "here"), ("normal", "here")]
)
def test_steps_elsewhere_end_in_the_same_weights_and_do_not_wait(case, cells):
    here = train_case(case)
    with PretendDevice() as device:
        options = {"datasplitter_kwargs": {"load_on_device": cells == "there"}}
        there = train_case(case, strategy=SingleDeviceStrategy(device=DEVICE), **options)
    waits = [(name, callers) for name, callers in device.waits if STEPS & set(callers)]
    assert bool(waits) == (case in COUNTING), waits
    # The losses of an epoch are read at its end, so that something was there.
    assert device.waits
    torch.testing.assert_close(
        to_host(there.module.state_dict()), to_host(here.module.state_dict()), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(*(model.history["train_loss"].astype(float) for model in (there, here)), rtol=1e-5)


def _numbers(model):
    scvi.settings.seed = 0
    adata = model.adata
    yield model.get_latent_representation()
    yield float(model.get_elbo())
    yield model.get_marginal_ll(n_mc_samples=10)
    yield model.get_normalized_expression(transform_batch="b1", n_samples=2).to_numpy()
    yield model.get_likelihood_parameters()["mean"]
    yield np.asarray(model.posterior_predictive_sample().todense())
    for source in ("prior", "posterior", "aggregate"):
        yield scgauge.tl.sample(model, n_obs=20, source=source, rng=0, progress=False).X.toarray()
    yield scgauge.tl.attribute(adata, model, n_steps=4, rng=0, progress=False, copy=True).varm["ig"]
    yield scgauge.tl.dream(adata, model, target=0, n_steps=2, rng=0, progress=False).X


def test_numbers_of_a_model_elsewhere_are_the_same():
    model = train_case("zinb")
    expected = list(_numbers(model))
    with PretendDevice() as device:
        model.module.to(DEVICE)
        found = list(_numbers(model))
    assert device.waits
    for here, there in zip(expected, found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-6)
