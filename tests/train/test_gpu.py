"""Training on a GPU, with ``--gpu`` where there is one; `test_devices` tells before what would fail or wait there."""

import numpy as np
import pytest
import torch
from device_cases import COUNTING, MODELS, train_case
from lightning.pytorch.callbacks import Callback

pytestmark = pytest.mark.gpu

GPU = {"accelerator": "gpu", "devices": 1}


class NoWaits(Callback):
    """CUDA raises an error where a step lets the host wait."""

    def on_train_batch_start(self, *_):
        torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, *_):
        torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, *_):
        torch.cuda.set_sync_debug_mode("default")


def _bound(model):
    return sum(float(model.get_elbo()) for _ in range(20)) / 20


@pytest.mark.parametrize("case", MODELS)
def test_steps_do_not_wait(case):
    options = {} if case in COUNTING else {"callbacks": [NoWaits()]}
    model = train_case(case, **GPU, **options)
    assert model.device.type == "cuda"
    assert np.isfinite(model.history["train_loss"].astype(float)).all(axis=None)


@pytest.mark.parametrize("case", ["zinb", "normal", "snapshots"])
def test_cells_on_either_side_end_in_the_same_weights(case):
    there, here = (train_case(case, **GPU, datasplitter_kwargs={"load_on_device": on}) for on in (True, False))
    torch.testing.assert_close(there.module.state_dict(), here.module.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("case", ["zinb", "poisson", "normal", "LinearVI"])
def test_reaches_the_bound_of_the_cpu(case):
    gpu, cpu = (train_case(case, max_epochs=60, **place) for place in (GPU, {}))
    assert _bound(gpu) == pytest.approx(_bound(cpu), rel=0.01)


def test_numbers_of_a_trained_model_are_those_of_the_cpu():
    model = train_case("zinb", **GPU)
    z = model.get_latent_representation()
    rates = model.decode(z, library_size=100.0, batch="b1")
    model.to_device("cpu")
    np.testing.assert_allclose(z, model.get_latent_representation(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rates, model.decode(z, library_size=100.0, batch="b1"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_one_recorded_graph_reaches_the_same_bound(precision):
    bounds = []
    for compiled in (False, True):
        torch.compiler.reset()
        options = {"precision": precision, "plan_kwargs": {"compile": compiled}}
        bounds.append(_bound(train_case("zinb", **GPU, max_epochs=60, **options)))
    assert bounds[1] == pytest.approx(bounds[0], rel=0.005 if precision == "32-true" else 0.02)
