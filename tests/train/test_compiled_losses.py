import gc

import pytest
import scvi
import torch
from cells import NETWORK, make_cells, train_quietly
from torch._dynamo.utils import counters

import scgauge
from scgauge.train._compiled_losses import CompiledLosses

#: Traces and differentiates as the default does, and runs the steps of the graph one by one, with the same draws.
TRACED = {"compile": True, "compile_kwargs": {"backend": "aot_eager"}}


def _model(name="CountVI", **arguments):
    adata = make_cells()
    adata.obsm["X_flat"] = adata.X[:, :2].toarray()
    cls = getattr(scgauge.model, name)
    cls.setup_anndata(adata, **({} if name == "Autoencoder" else {"batch_key": "batch"}))
    scvi.settings.seed = 0
    network = {"n_hidden": 16} if name == "SupervisedVI" else NETWORK
    return cls(adata, **(network | arguments))


def _train(model, **plan):
    train_quietly(model, max_epochs=8, batch_size=32, train_size=0.9, validation_size=0.1, plan_kwargs=plan)
    return model


@pytest.fixture(autouse=True)
def fresh_counters():
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("CountVI", {"gene_likelihood": "zinb", "dispersion": "gene-batch"}, id="zinb"),
        pytest.param("CountVI", {"gene_likelihood": "nb"}, marks=pytest.mark.slow, id="nb"),
        pytest.param(
            "CountVI",
            {"gene_likelihood": "poisson", "use_observed_lib_size": False},
            marks=pytest.mark.slow,
            id="latent library",
        ),
        pytest.param("LinearVI", {}, marks=pytest.mark.slow, id="LinearVI"),
        pytest.param("SupervisedVI", {"basis": "X_flat"}, marks=pytest.mark.slow, id="SupervisedVI"),
        pytest.param("Autoencoder", {}, marks=pytest.mark.slow, id="Autoencoder"),
    ],
)
def test_one_graph_serves_the_run_and_ends_in_the_same_weights(name, arguments):
    plain, compiled = _train(_model(name, **arguments)), _train(_model(name, **arguments), **TRACED)
    assert counters["stats"]["unique_graphs"] == 1
    torch.testing.assert_close(compiled.module.state_dict(), plain.module.state_dict(), rtol=1e-3, atol=1e-5)
    assert compiled.history.keys() == plain.history.keys()
    # The trained model keeps no graph.
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is CompiledLosses]


@pytest.mark.slow
def test_every_model_is_compiled_however_many_were_before():
    with torch._dynamo.config.patch(recompile_limit=1):
        for n_hidden in (4, 8):
            _train(_model(n_hidden=n_hidden), **TRACED)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
def test_sixteen_bit_layers():
    model = _model(gene_likelihood="nb")
    train_quietly(model, max_epochs=3, precision="bf16-mixed", plan_kwargs=TRACED, batch_size=32)
    assert counters["stats"]["unique_graphs"] == 1
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}
    assert model.history["train_loss"].notna().all(axis=None)


def test_steps_of_no_fixed_shape_are_refused():
    adata = make_cells()
    adata.obs["time"] = [float(index % 3) for index in range(adata.n_obs)]
    scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    with pytest.raises(ValueError, match="steps of ODEVAE have no fixed shapes"):
        scgauge.model.ODEVI(adata).train(max_epochs=1, plan_kwargs={"compile": True})


@pytest.mark.slow
def test_default_compiler_reaches_the_same_bound():
    bounds = {}
    for compiled in (False, True):
        model = _model(gene_likelihood="nb")
        train_quietly(model, max_epochs=60, batch_size=32, plan_kwargs={"compile": compiled})
        bounds[compiled] = sum(float(model.get_elbo()) for _ in range(20)) / 20
    assert counters["stats"]["unique_graphs"] == 1
    assert bounds[True] == pytest.approx(bounds[False], rel=0.005)
