"""ODEVI on simulated snapshots: predictions, velocities, parameters, files."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cells import train_quietly
from scipy.linalg import expm
from sklearn.metrics import adjusted_rand_score
from torch import nn

from scgauge.datasets import simulate_time_series
from scgauge.model import ODEVI
from scgauge.train._time_plan import MEMORIES

PLAN = {"n_flow_steps": 60}
TIMES = (0.0, 1.0, 2.0, 4.0)


def make(seed=0, n_obs=240, **arguments):
    adata = simulate_time_series(n_obs, 30, times=TIMES, rng=seed, **arguments)
    adata.obs["batch"] = np.where(np.arange(n_obs) % 2, "b1", "b2")
    adata.obs["age"] = np.random.default_rng(0).normal(size=n_obs)
    return adata


def fit(adata, *, setup=None, epochs=8, plan=None, seed=0, **network):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **({"time_key": "time"} | (setup or {})))
    model = ODEVI(adata, **({"n_latent": 2, "n_hidden": 16} | network))
    return train_quietly(model, max_epochs=epochs, accelerator="cpu", plan_kwargs=PLAN | (plan or {}))


@pytest.fixture(scope="module")
def model():
    return fit(make(), setup={"batch_key": "batch"})


@pytest.fixture(scope="module")
def linear():
    return fit(make(), dynamics="affine")


def test_predicted_counts(model):
    cells = model.predict_state(times=[0.5, 3.0], n_cells=50, rng=0)
    assert cells.shape == (100, 30)
    assert list(cells.var_names) == list(model.adata.var_names)
    x = cells.X.toarray()
    assert ((x >= 0) & (x == np.rint(x))).all()
    assert (cells.obs["source_time"] == np.repeat([0.0, 2.0], 50)).all()
    source = model.adata.obs.loc[cells.obs["source_cell"]]
    assert (source["time"].to_numpy() == cells.obs["source_time"].to_numpy()).all()
    assert (source["batch"].to_numpy() == cells.obs["batch"].to_numpy()).all()
    again = model.predict_state(times=[0.5, 3.0], n_cells=50, rng=0)
    assert (again.X != cells.X).nnz == 0


def test_rates_sum_to_the_library_and_counts_scatter_around_them(model):
    rates = model.predict_state(times=[1.5], n_cells=400, kind="rates", rng=0)
    np.testing.assert_allclose(rates.X.sum(1), rates.obs["library_size"], rtol=1e-4)
    counts = model.predict_state(times=[1.5], n_cells=400, rng=0)
    np.testing.assert_array_equal(rates.obsm["X_odevae"], counts.obsm["X_odevae"])
    np.testing.assert_allclose(counts.X.toarray().mean(0), rates.X.mean(0), rtol=0.25, atol=0.5)


def test_latent_prediction_at_a_training_time_is_that_snapshot(model):
    cells = model.predict_state(times=[2.0], kind="latent", rng=0)
    mine = model.adata.obs["time"] == 2.0
    mean, variance = model.get_latent_representation(indices=np.flatnonzero(mine), return_dist=True)
    assert (np.abs(cells.X - mean) < 6 * np.sqrt(variance)).all()
    assert list(cells.obs["source_cell"]) == list(model.adata.obs_names[mine])


@pytest.mark.parametrize(("start", "sources"), [("previous", {2.0}), ("first", {0.0}), ("all", set(TIMES))])
def test_where_predictions_start(model, start, sources):
    cells = model.predict_state(times=[3.0], start=start, kind="latent", rng=0)
    assert set(cells.obs["source_time"]) == sources


def test_before_the_first_time_cells_are_followed_backward(model):
    cells = model.predict_state(times=[-0.5], kind="latent", rng=0)
    assert set(cells.obs["source_time"]) == {0.0}


def test_library_sizes_lie_between_those_of_the_neighbours():
    adata = make()
    factor = np.where(adata.obs["time"] == 2.0, 4, 1)
    adata.X = adata.X.multiply(factor[:, None]).tocsr()
    model = fit(adata, epochs=2)
    log = np.log(np.asarray(adata.X.sum(1)).ravel())
    cells = model.predict_state(times=[1.5, 4.0, 4.5], rng=0)
    for time, weight in ((1.5, 0.5), (4.0, 1.0), (4.5, 1.0)):
        found = np.log(cells.obs.loc[cells.obs["time"] == time, "library_size"])
        first, last = (1.0, 2.0) if time == 1.5 else (2.0, 4.0)
        levels = np.linspace(0.1, 0.9, 9)
        quantiles = [np.quantile(log[adata.obs["time"] == t], levels) for t in (first, last)]
        expected = (1 - weight) * quantiles[0] + weight * quantiles[1]
        np.testing.assert_allclose(np.quantile(found, levels), expected, atol=0.06)


def test_batch_mates_do_not_matter(model):
    whole = model.get_trajectories(times=[0.0, 3.0])
    part = model.get_trajectories(times=[3.0, 0.0], indices=[7, 3])
    np.testing.assert_allclose(part[0, 0], whole[7, 1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(part[1, 1], whole[3, 0], rtol=1e-5, atol=1e-6)


def test_trajectories_start_at_the_cells(model):
    z = model.get_latent_representation()
    own = model.adata.obs["time"].to_numpy()
    path = model.get_trajectories(times=TIMES)
    np.testing.assert_allclose(path[np.arange(240), np.searchsorted(TIMES, own)], z, rtol=1e-6)
    drawn = model.get_trajectories(times=[1.0], n_samples=200, indices=[0], rng=0)
    assert drawn.shape == (200, 1, 1, 2)
    assert drawn.std(0).min() > 0


def test_latent_velocity_is_the_slope_of_the_trajectory(model):
    step = 1e-3
    for time in TIMES:
        rows = np.flatnonzero(model.adata.obs["time"] == time)[:5]
        path = model.get_trajectories(times=[time - step, time + step], indices=rows)
        slope = (path[:, 1] - path[:, 0]) / (2 * step)
        # The field has a corner at both ends of the training times.
        np.testing.assert_allclose(model.get_velocity(indices=rows), slope, rtol=2e-2, atol=2e-3)


def test_gene_velocity_is_the_slope_of_the_log_share(model):
    rows = np.arange(0, 240, 40)
    z, v = model.get_latent_representation(indices=rows), model.get_velocity(indices=rows)
    batch, step = model.adata.obs["batch"].to_numpy()[rows], 1e-2
    ahead, behind = (model.decode(z + sign * step * v, library_size=1.0, batch=batch) for sign in (1, -1))
    slope = (np.log(ahead) - np.log(behind)) / (2 * step)
    np.testing.assert_allclose(model.get_velocity(space="gene", indices=rows), slope, rtol=2e-2, atol=5e-3)


def test_parameters_of_an_affine_field_give_its_trajectories(linear):
    row = linear.get_ode_parameters().iloc[0]
    matrix = row[["a11", "a12", "a21", "a22"]].to_numpy(float).reshape(2, 2)
    offset = row[["c1", "c2"]].to_numpy(float)
    joined = np.zeros((3, 3))
    joined[:2, :2], joined[:2, 2] = matrix, offset
    z = linear.get_latent_representation(indices=[0])
    path = linear.get_trajectories(times=[3.0], indices=[0])
    np.testing.assert_allclose(path[0, 0], (expm(3 * joined) @ np.r_[z[0], 1])[:2], rtol=1e-4)
    values = np.sort(np.linalg.eigvals(matrix).real)[::-1]
    np.testing.assert_allclose(row[["eigenvalue_1_real", "eigenvalue_2_real"]].to_numpy(float), values, rtol=1e-6)
    np.testing.assert_allclose(row["half_life_1"], -np.log(2) / values[0], rtol=1e-6)
    fixed = row[["fixed_point_1", "fixed_point_2"]].to_numpy(float)
    np.testing.assert_allclose(matrix @ fixed + offset, 0, atol=1e-6)


def test_parameters_of_a_learned_field_are_local(model):
    table = model.get_ode_parameters()
    assert table["time"].tolist() == list(TIMES)
    assert np.isfinite(table.to_numpy()).all()


def test_the_unit_of_time_does_not_matter():
    hours, days = make(), make()
    days.obs["time"] = days.obs["time"] / 24
    one, other = fit(hours, epochs=3), fit(days, epochs=3)
    first = one.predict_state(times=[1.5, 3.0], n_cells=20, rng=0)
    second = other.predict_state(times=[1.5 / 24, 3.0 / 24], n_cells=20, rng=0)
    np.testing.assert_allclose(first.obsm["X_odevae"], second.obsm["X_odevae"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(24 * one.get_velocity(), other.get_velocity(), rtol=1e-3, atol=1e-4)


def test_sparse_and_dense_are_the_same():
    sparse_cells, dense_cells = make(), make()
    dense_cells.X = dense_cells.X.toarray()
    one, other = fit(sparse_cells, epochs=2), fit(dense_cells, epochs=2)
    np.testing.assert_allclose(one.get_velocity(), other.get_velocity(), rtol=1e-5, atol=1e-6)


class Pull(nn.Module):
    """Towards a point: a field of ten lines, as a user would write it."""

    n_theta = 2
    theta_names = ("goal_1", "goal_2")

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.ones(()))

    def forward(self, t, z, theta):
        return self.rate * (theta - z)


@pytest.mark.parametrize(
    "dynamics", ["drift", "linear_diag", "linear", "lotka_volterra", "local_linear", "potential", Pull()], ids=str
)
def test_every_field_trains_is_saved_and_loaded(dynamics, tmp_path):
    model = fit(make(), epochs=2, plan={"n_flow_steps": 10}, dynamics=dynamics)
    before = model.predict_state(times=[3.0], kind="latent", n_cells=10, rng=0)
    model.save(tmp_path / "model")
    loaded = ODEVI.load(tmp_path / "model", adata=make())
    after = loaded.predict_state(times=[3.0], kind="latent", n_cells=10, rng=0)
    np.testing.assert_array_equal(before.X, after.X)
    table = loaded.get_ode_parameters()
    assert isinstance(table, pd.DataFrame)
    if isinstance(dynamics, Pull):
        assert list(table.columns) == ["goal_1", "goal_2"]


def test_baseline_variables_move_the_parameters():
    adata = make()
    adata.obs["kind"] = np.where(adata.obs["group"] == "group_0", "x", "y")
    model = fit(adata, setup={"baseline_keys": ["kind", "age"]}, dynamics="affine", plan={"n_flow_steps": 600})
    assert model.module.n_baseline == 3
    z = torch.zeros(2, 3)
    z[0, 0], z[1, 1] = 1, 1
    theta = model.module.theta(2, z)
    assert (theta[0] - theta[1]).abs().max() > 0.05
    other = make(seed=1)
    other.obs["kind"] = np.where(other.obs["group"] == "group_0", "x", "y")
    assert model.get_velocity(other).shape == (240, 2)
    other = make(seed=1)
    other.obs["kind"] = "z"
    with pytest.raises(ValueError, match=r"has the categories \['z'\]; the model knows \['x', 'y'\]"):
        model.get_velocity(other)


def test_groups_of_planted_trajectories():
    adata = simulate_time_series(480, 60, separation=4.0, rng=0)
    model = fit(adata, epochs=60, plan={"n_flow_steps": 400}, n_hidden=64)
    groups = model.get_trajectory_groups(n_groups=2, rng=0)
    assert list(groups.index) == list(adata.obs_names)
    np.testing.assert_allclose(groups[["probability_0", "probability_1"]].sum(axis=1), 1)
    assert adjusted_rand_score(adata.obs["group"], groups["group"]) > 0.9
    sizes = groups["group"].value_counts()
    assert sizes["0"] >= sizes["1"]
    # Planted paths: the mean path of a group, brought into the planted plane by one affine map of all cells.
    z = np.column_stack([model.get_latent_representation(), np.ones(480)])
    onto = np.linalg.lstsq(z, adata.obsm["latent"], rcond=None)[0]
    first = np.flatnonzero(adata.obs["time"] == 0)
    times = np.arange(6.0)
    path = model.get_trajectories(times=times, indices=first) @ onto[:2] + onto[2]
    truth = adata.uns["scgauge_truth"]["trajectories"]
    extent = np.ptp(truth[["u1", "u2"]].to_numpy())
    for group, rows in adata.obs.iloc[first].groupby("group", observed=True).indices.items():
        true = truth[truth["group"] == group]
        expected = np.column_stack([np.interp(times, true["time"], true[name]) for name in ("u1", "u2")])
        assert np.sqrt(np.square(path[rows].mean(0) - expected).mean()) < 0.1 * extent


def test_number_of_groups(model):
    assert (model.get_trajectory_groups(n_groups=1, rng=0)["group"] == "0").all()
    with pytest.raises(ValueError, match="n_groups=0 was given; an integer from 1 to 240"):
        model.get_trajectory_groups(n_groups=0)


def test_joint_training_reports_the_distance():
    model = fit(make(), epochs=6, plan={"joint_share": 0.5, "n_flow_steps": 20})
    assert model.module.bank is None
    assert "matching_train" in model.history
    assert np.isfinite(model.history["matching_train"].to_numpy(float)).all()


@pytest.mark.parametrize("likelihood", ["poisson", "zinb", "normal"])
def test_other_likelihoods(likelihood):
    adata = make()
    if likelihood == "normal":
        adata.X = np.log1p(adata.X.toarray()) - 1
    model = fit(adata, epochs=2, gene_likelihood=likelihood, setup={"continuous_covariate_keys": ["age"]})
    cells = model.predict_state(times=[3.0], n_cells=5, rng=0)
    assert cells.shape == (5, 30)
    assert "age" in cells.obs
    assert model.get_velocity(space="gene", indices=[0, 1]).shape == (2, 30)


def test_other_cells_can_be_followed(model):
    other = make(seed=3)[:60].copy()
    cells = model.predict_state(other, times=[1.0], rng=0)
    assert set(cells.obs["source_cell"]) <= set(other.obs_names)
    assert model.get_trajectories(other, times=[1.0]).shape == (60, 1, 2)


def test_far_times_are_warned_of(model):
    with pytest.warns(UserWarning, match="A time lies 16 outside of the training times 0 to 4; the widest gap"):
        model._check_times([20.0])


def test_the_memory_is_that_of_the_best_forecast_of_the_last_snapshot(model):
    scores = model.module.memory_scores
    assert set(scores) == set(MEMORIES)
    best = min(scores, key=scores.get)
    field = model.module.field
    np.testing.assert_allclose(float(field.memory), best * 0.5, rtol=1e-6)  # the last gap is half of the scaled time
    assert float(field.horizon) == 1
    np.testing.assert_array_equal(model.module.times, TIMES)


@pytest.mark.filterwarnings("ignore:A time lies 16 outside of the training times:UserWarning")
def test_far_forecasts_stay_bounded(model):
    far = model.predict_state(times=[20.0], kind="latent", rng=0)
    assert np.abs(far.X).max() < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [np.nan]}, "finite numbers in the unit of 'time' are needed"),
        ({"times": ["late"]}, "finite numbers in the unit of 'time' are needed"),
        ({"times": []}, "finite numbers in the unit of 'time' are needed"),
        ({"times": [1.0], "kind": "cells"}, "kind='cells' was given; choose from"),
        ({"times": [1.0], "start": "last"}, "start='last' was given; choose from"),
        ({"times": [1.0], "n_cells": 0}, "n_cells=0 was given; an integer of at least 1"),
    ],
)
def test_predictions_that_cannot_be_made(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.predict_state(**arguments)


def test_unknown_space_and_untrained_model(model):
    with pytest.raises(ValueError, match="space='pca' was given"):
        model.get_velocity(space="pca")
    adata = make()
    ODEVI.setup_anndata(adata, time_key="time")
    with pytest.raises(RuntimeError, match="is not trained. Run: model.train"):
        ODEVI(adata).predict_state(times=[1.0])
    with pytest.raises(NotImplementedError, match="cannot map queries"):
        ODEVI.load_query_data(adata, model)


def set_time(adata, values):
    adata.obs["time"] = values
    return adata


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: set_time(a, 3.0), ValueError, "has one time only, 3; dynamics need at least two"),
        (
            lambda a: set_time(a, a.obs["time"].astype(str) + "h"),
            TypeError,
            "real times are numbers, for example hours",
        ),
        (lambda a: set_time(a, a.obs["time"].where(a.obs["time"] > 0)), ValueError, "has 60 missing values"),
        (lambda a: set_time(a, a.obs["time"].replace(4.0, np.inf)), ValueError, "60 times that are not finite"),
        (lambda a: set_time(a, np.arange(240.0)), ValueError, "240 of 240 times .* have fewer than 5 cells: 0 \\(1\\)"),
        (lambda a: a[np.r_[:180, 200:203]].copy(), ValueError, r"1 of 4 times .* have fewer than 5 cells: 4 \(3\)"),
        (lambda a: a[:50], ValueError, "one time only|view"),
    ],
)
def test_times_that_cannot_be_used(change, error, message):
    adata = change(make())
    columns = list(adata.obs)
    with pytest.raises(error, match=message):
        ODEVI.setup_anndata(adata, time_key="time")
    assert list(adata.obs) == columns
    assert not adata.uns.get("_scvi_uuid")


def test_missing_columns_and_baseline_values():
    with pytest.raises(KeyError, match="time_key='day'"):
        ODEVI.setup_anndata(make(), time_key="day")
    adata = make()
    adata.obs.loc[adata.obs_names[3], "age"] = np.nan
    with pytest.raises(ValueError, match=r"adata.obs\['age'\] has 1 missing values; baseline_keys needs one"):
        ODEVI.setup_anndata(adata, time_key="time", baseline_keys=["age"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dynamics": "spiral"}, ValueError, "dynamics='spiral' was given"),
        ({"dynamics": lambda t, z, theta: z}, TypeError, "dynamics is function"),
        ({"dynamics": "lotka_volterra", "n_latent": 3}, ValueError, "needs pairs of dimensions"),
        ({"dynamics": Pull(), "dynamics_kwargs": {"stable": True}}, ValueError, "dynamics_kwargs are for fields"),
        ({"n_latent": 0}, ValueError, "n_latent=0"),
    ],
)
def test_models_that_cannot_be_built(arguments, error, message):
    adata = make()
    ODEVI.setup_anndata(adata, time_key="time")
    with pytest.raises(error, match=message):
        ODEVI(adata, **({"n_latent": 2} | arguments))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"joint_share": 1.0}, "joint_share=1.0"),
        ({"matching": "kl"}, "matching='kl'"),
        ({"kinetic_weight": -1.0}, "kinetic_weight=-1.0"),
        ({"kinetic_weight": 1.0, "matching": None}, "kinetic_weight=1.0 and matching=None"),
        ({"path": "cubic"}, "path='cubic'"),
    ],
)
def test_training_plans_that_cannot_be_made(plan, message):
    with pytest.raises(ValueError, match=message):
        fit(make(), epochs=1, plan=plan)


def test_batches_that_share_no_time_are_named():
    adata = make()
    adata.obs["batch"] = np.where(adata.obs["time"] < 2, "early", "late")
    with pytest.warns(UserWarning, match=r"the batches \['early'\] share no time with \['late'\]"):
        ODEVI.setup_anndata(adata, time_key="time", batch_key="batch")
