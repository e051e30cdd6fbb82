"""Functions on time series: what is stored, and that held-out cells stay unseen."""

import sys

import numpy as np
import ot
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

from scgauge.datasets import simulate_time_series
from scgauge.metrics import energy_distance, wasserstein_distance
from scgauge.model import ODEVI
from scgauge.tl import held_out_time, trajectory, velocity
from scgauge.tl._held_out_scores import Space, classifier_auc, naive_predictions

QUICK = {"plan_kwargs": {"n_flow_steps": 30}, "enable_progress_bar": False, "accelerator": "cpu"}


def make(seed=0):
    return simulate_time_series(180, 30, times=(0.0, 1.0, 3.0), rng=seed)


def fit(cells, seed, **network):
    ODEVI.setup_anndata(cells, time_key="time")
    model = ODEVI(cells, **({"n_latent": 2, "n_hidden": 16} | network))
    model.train(max_epochs=4, **QUICK)
    return model


@pytest.fixture(scope="module")
def model():
    import scvi

    scvi.settings.seed = 0
    return fit(make(), 0)


@pytest.fixture(scope="module")
def scored(model):
    adata = make()
    held_out_time(adata, model, n_cells=100, rng=0, progress=False)
    return adata


def test_wasserstein_equals_pot_and_is_the_shift_of_a_shifted_sample():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(45, 4))
    np.testing.assert_allclose(wasserstein_distance(x, y), ot.emd2([], [], cdist(x, y)), rtol=1e-9)
    np.testing.assert_allclose(wasserstein_distance(x, x + np.array([3, 4, 0, 0])), 5, rtol=1e-9)


def test_trajectory_stores_what_the_model_returns(model):
    adata = make()
    trajectory(adata, model, times=[0.0, 2.0], n_cells=5, rng=0)
    found = adata.uns["trajectory"]
    expected = model.get_trajectories(times=[0.0, 2.0], indices=found["cells"]["index"].to_numpy())
    np.testing.assert_allclose(found["paths"], expected, rtol=1e-6)
    np.testing.assert_allclose(adata.obsm["X_trajectory"], model.get_latent_representation(), rtol=1e-6)
    assert (adata.obs["time"].to_numpy()[found["cells"]["index"]] == 0).all()


def test_velocity_stores_latent_and_gene_velocities(model):
    adata = make()
    velocity(adata, model, genes=True)
    np.testing.assert_allclose(adata.obsm["velocity"], model.get_velocity(), rtol=1e-5)
    np.testing.assert_allclose(adata.layers["velocity"], model.get_velocity(space="gene"), rtol=1e-4, atol=1e-6)


def test_scores_of_every_method(scored):
    table = scored.uns["held_out_time"]["scores"]
    assert table["time"].unique().tolist() == [1.0]
    wasserstein = table[(table["space"] == "pca5") & (table["statistic"] == "wasserstein")]
    assert set(wasserstein["method"]) == {
        "floor", "copy_previous", "copy_next", "mixture", "mean_shift", "optimal_transport", "mean_cell", "model",
    }  # fmt: skip
    values = wasserstein.set_index("method")["value"]
    assert values["floor"] < values[["copy_previous", "copy_next", "mean_cell"]].min()
    zero = table[table["statistic"] == "zero_fraction"].set_index("method")["value"]
    real = make()
    np.testing.assert_allclose(zero["real"], (real[real.obs["time"] == 1.0].X.toarray() == 0).mean())


def test_naive_rows_equal_their_definition():
    adata = make()
    x, own = adata.X, adata.obs["time"].to_numpy()
    space = Space.of(x[own != 1.0], counts=True)
    found = dict(naive_predictions(space, x[own == 0.0], x[own == 3.0], 1 / 3, 500, np.random.default_rng(0)))
    first, last = (space.expression(x[own == time]) for time in (0.0, 3.0))
    np.testing.assert_array_equal(found["copy_previous"], first)
    np.testing.assert_allclose(found["mean_shift"].mean(0), 2 / 3 * first.mean(0) + last.mean(0) / 3)
    np.testing.assert_allclose(found["mixture"].mean(0), 2 / 3 * first.mean(0) + last.mean(0) / 3, atol=0.7)
    moved = found["optimal_transport"]
    np.testing.assert_allclose(moved.mean(0), 2 / 3 * first.mean(0) + last.mean(0) / 3, atol=0.7)
    assert moved.var(0).mean() < found["mixture"].var(0).mean()
    assert found["mean_cell"].std(0).max() < 1e-9


def test_components_come_from_training_cells_and_are_scaled():
    adata = make()
    space = Space.of(adata.X, counts=True)
    points = space.project(space.expression(adata.X))
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose(points.std(0), 1, rtol=1e-8)


def test_a_classifier_cannot_tell_equal_samples_apart_but_different_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    assert abs(classifier_auc(x[:150], x[150:], 0) - 0.5) < 0.1
    assert classifier_auc(x[:150], x[150:] + 3, 0) > 0.95


@pytest.mark.parametrize("n_groups", [1, 2])
def test_held_out_cells_are_never_seen(n_groups):
    predictions = []

    def watched(cells, seed):
        model = fit(cells, seed, n_groups=n_groups)
        predictions.append(model.predict_state(times=[1.0], n_cells=20, kind="latent", rng=0).X)
        assert 1.0 not in set(cells.obs["time"])
        return model

    for others in (False, True):
        adata = make()
        inside = adata.obs["time"].to_numpy() == 1.0
        if others:
            x = adata.X.toarray()
            x[inside] = 7 * x[inside, ::-1]  # other libraries, and genes in another order
            adata.X = csr_matrix(x)
        held_out_time(adata, watched, n_cells=20, rng=0, progress=False)
    np.testing.assert_array_equal(*predictions)


@pytest.mark.filterwarnings("ignore:A time lies 2 outside of the training times 0 to 1:UserWarning")
def test_a_forecast_has_no_next_time(model):
    adata = make()
    held_out_time(adata, model, times=[3.0], n_cells=20, rng=0, progress=False)
    methods = set(adata.uns["held_out_time"]["scores"]["method"])
    assert methods == {"floor", "copy_previous", "mean_cell", "model", "real"}


def test_a_missing_package_is_named_before_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    trained = []
    with pytest.raises(ImportError, match=r"pip install 'scgauge\[ot\]'"):
        held_out_time(make(), lambda cells, seed: trained.append(cells), progress=False)
    assert not trained


def test_models_that_cannot_be_refitted():
    with pytest.raises(TypeError, match="str does not know how it was trained. Pass a trained model"):
        held_out_time(make(), "ODEVI", progress=False)
    adata = make()
    ODEVI.setup_anndata(adata, time_key="time")
    with pytest.raises(TypeError, match="ODEVI does not know how it was trained"):
        held_out_time(make(), ODEVI(adata), progress=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"time_key": "day"}, KeyError, "time_key='day'"),
        ({"times": []}, ValueError, "not among the times"),
        ({"n_cells": 1}, ValueError, "n_cells=1"),
    ],
)
def test_calls_that_cannot_be_made(model, arguments, error, message):
    with pytest.raises(error, match=message):
        held_out_time(make(), model, **arguments)


def test_two_times_are_too_few(model):
    adata = make()
    with pytest.raises(ValueError, match="has 2 times; at least 3 are needed"):
        held_out_time(adata[adata.obs["time"] < 2].copy(), model)


def test_dynamics_are_needed(model):
    from scgauge.model import CountVI

    adata = make()
    CountVI.setup_anndata(adata)
    with pytest.raises(TypeError, match="CountVI, which has no dynamics"):
        trajectory(make(), CountVI(adata))
    adata = make()
    ODEVI.setup_anndata(adata, time_key="time")
    with pytest.raises(RuntimeError, match="not trained"):
        velocity(make(), ODEVI(adata))


def test_v_energy_of_the_floor_is_what_it_says(scored):
    table = scored.uns["held_out_time"]["scores"]
    copies = table[(table["statistic"] == "energy") & (table["space"] == "pca5")].set_index("method")["value"]
    adata = make()
    own = adata.obs["time"].to_numpy()
    space = Space.of(adata.X[own != 1.0], counts=True)
    points = [space.project(space.expression(adata.X[own == time]))[:, :5] for time in (0.0, 1.0)]
    np.testing.assert_allclose(copies["copy_previous"], energy_distance(*points, estimator="v"), rtol=1e-8)
