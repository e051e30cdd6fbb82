"""Models of cells that stay on disk: all that they do is done without loading the matrix."""

import anndata
import numpy as np
import pytest
import scvi
from anndata.abc import CSRDataset
from cells import NETWORK, SETUP, fit, make_cells, stored_as, train_quietly

import scgauge
from scgauge._core import matrix
from scgauge.model import ODEVI, CountVI, LinearVI

SETUPS = {CountVI: SETUP, LinearVI: SETUP, ODEVI: {"time_key": "time", "batch_key": "batch"}}
PLANS = {ODEVI: {"plan_kwargs": {"n_flow_steps": 5}}}


@pytest.fixture(scope="module", autouse=True)
def never_loaded():
    """Any call that would load a matrix fails."""

    def fail(*_):
        message = "The matrix was loaded."
        raise AssertionError(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSRDataset, "to_memory", fail)
        for implementation in CSRDataset.__subclasses__():
            patch.setattr(implementation, "to_memory", fail)
        patch.setattr(matrix, "fetch", fail)
        yield


@pytest.fixture(scope="module", params=[CountVI, LinearVI, ODEVI], ids=lambda kind: kind.__name__)
def pair(request, tmp_path_factory):
    """Model trained from disk, and a model of the same weights with its cells in memory."""
    kind = request.param
    cells = make_cells(n_obs=400)
    cells.obs["time"] = np.arange(400) % 3 * 1.0
    path = tmp_path_factory.mktemp("disk") / "cells"
    # Half of the kinds from h5ad, half from zarr: the reader has its own tests.
    if kind is LinearVI:
        cells.write_zarr(path)
        stored = scgauge.datasets.read_backed(path)
    else:
        cells.write_h5ad(path)
        stored = anndata.read_h5ad(path, backed="r")
    scvi.settings.seed = 0
    kind.setup_anndata(stored, **SETUPS[kind])
    disk = kind(stored, **NETWORK)
    train_quietly(disk, max_epochs=2, batch_size=32, datasplitter_kwargs={"buffer_size": 64}, **PLANS.get(kind, {}))
    disk.save(path.with_name("model"))
    memory = kind.load(path.with_name("model"), adata=cells)
    return disk, memory


def test_training_goes_over_training_cells_and_logs_both_sets(pair):
    disk, _ = pair
    assert len(disk.train_indices) == 360
    assert len(disk.validation_indices) == 40
    assert np.isfinite(disk.history["elbo_train"].to_numpy(float)).all()


def test_latent_points_are_those_of_the_cells_asked_for(pair):
    disk, memory = pair
    indices = np.array([399, 2, 2, 117, 0])
    found = disk.get_latent_representation(indices=indices)
    np.testing.assert_allclose(found, memory.get_latent_representation()[indices], rtol=1e-5, atol=1e-6)


def test_expression_and_elbo(pair):
    disk, memory = pair
    indices = [300, 5, 17]
    expression, elbo = [], []
    for model in (disk, memory):
        scvi.settings.seed = 0
        expression.append(model.get_normalized_expression(indices=indices, library_size=100).to_numpy())
        elbo.append(float(model.get_elbo(indices=indices)))
    np.testing.assert_allclose(*expression, rtol=1e-4)
    assert elbo[0] == pytest.approx(elbo[1], rel=1e-5)


@pytest.mark.parametrize("source", ["prior", "posterior", "aggregate"])
def test_samples_are_those_of_cells_in_memory(pair, source):
    disk, memory = pair
    ours, theirs = (scgauge.tl.sample(model, 30, source=source, rng=0) for model in (disk, memory))
    np.testing.assert_array_equal(ours.X.toarray(), theirs.X.toarray())
    np.testing.assert_allclose(ours.obs["library_size"], theirs.obs["library_size"])


def test_states_between_snapshots(pair):
    if isinstance(pair[0], ODEVI):
        states = [model.predict_state(times=[0.5, 1.5], n_cells=5, rng=0) for model in pair]
        np.testing.assert_array_equal(states[0].X.toarray(), states[1].X.toarray())
        assert states[0].shape == (10, 20)


@pytest.mark.parametrize("kind", ["backed", "dask"])
def test_a_run_of_cells_that_fit_into_one_buffer_is_the_run_in_memory(kind, tmp_path):
    cells = make_cells()
    runs = [fit(CountVI, data) for data in (cells, stored_as(kind, cells.copy(), tmp_path / "cells.h5ad"))]
    losses = [model.history["train_loss"].to_numpy(dtype=float) for model in runs]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    latent, expected = (model.get_latent_representation() for model in reversed(runs))
    np.testing.assert_allclose(latent, expected, rtol=1e-4, atol=1e-5)
