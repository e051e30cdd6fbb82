"""Training and reading of models on a device other than the CPU, here one that is only pretended."""

import numpy as np
import pytest
import scvi
import torch
from cells import NETWORK, make_cells, train_quietly
from lightning.pytorch.strategies import SingleDeviceStrategy
from pretend_device import DEVICE, PretendDevice, to_host

import scgauge

MODELS = {
    "zinb": ("CountVI", {"gene_likelihood": "zinb", "dispersion": "gene-batch"}),
    "poisson": ("CountVI", {"gene_likelihood": "poisson", "use_observed_lib_size": False}),
    "normal": ("CountVI", {"gene_likelihood": "normal"}),
    "bernoulli": ("CountVI", {"gene_likelihood": "bernoulli"}),
    "LinearVI": ("LinearVI", {}),
    "SupervisedVI": ("SupervisedVI", {"basis": "X_flat"}),
    "Autoencoder": ("Autoencoder", {}),
    "ODEVI": ("ODEVI", {"dynamics": "linear"}),
}
SETUP = {"Autoencoder": {}, "ODEVI": {"time_key": "time"}}


def _model(case):
    name, arguments = MODELS[case]
    adata = make_cells(case if case in {"normal", "bernoulli"} else "counts")
    first = adata.X[:, :2]
    adata.obsm["X_flat"] = first if isinstance(first, np.ndarray) else first.toarray()
    adata.obs["time"] = np.arange(adata.n_obs) % 3.0
    cls = getattr(scgauge.model, name)
    cls.setup_anndata(adata, **SETUP.get(name, {"batch_key": "batch"}))
    scvi.settings.seed = 0
    return cls(adata, **({"n_hidden": 16} if name == "SupervisedVI" else NETWORK), **arguments)


def _train(model, **options):
    if isinstance(model, scgauge.model.ODEVI):
        options["plan_kwargs"] = {"n_flow_steps": 10}
    train_quietly(model, max_epochs=2, batch_size=32, train_size=0.9, validation_size=0.1, accelerator="cpu", **options)
    return model


@pytest.mark.parametrize("case", MODELS)
def test_steps_elsewhere_end_in_the_same_weights_and_never_wait(case):
    here = _train(_model(case))
    with PretendDevice() as device:
        there = _train(_model(case), strategy=SingleDeviceStrategy(device=DEVICE))
    assert [name for name, callers in device.waits if "training_step" in callers] == []
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
    model = _train(_model("zinb"))
    expected = list(_numbers(model))
    with PretendDevice() as device:
        model.module.to(DEVICE)
        found = list(_numbers(model))
    assert device.waits
    for here, there in zip(expected, found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-6)
