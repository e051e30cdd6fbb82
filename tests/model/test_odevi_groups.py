"""ODEVI with several dynamics: groups of cells that branch, and what moves along with them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scvi
from cells import train_quietly
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from scgauge import pl
from scgauge.datasets import simulate_time_series
from scgauge.model import ODEVI, CountVI

TIMES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def fit(adata, *, epochs=50, plan=None, seed=0, setup=None, train=None, **network):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **({"time_key": "time"} | (setup or {})))
    model = ODEVI(adata, **({"n_latent": 2, "n_hidden": 32, "n_groups": 2} | network))
    plan = {"n_flow_steps": 250} | (plan or {})
    return train_quietly(model, max_epochs=epochs, accelerator="cpu", plan_kwargs=plan, **(train or {}))


def small(**more):
    return fit(simulate_time_series(120, 20, times=(0, 1, 3), rng=0), epochs=3, plan={"n_flow_steps": 10}, **more)


def course_errors(model, times):
    """RMSE of the mean course of each planted group over the range of the state, by the best matching of the groups."""
    adata = model.adata
    z = np.column_stack([model.get_latent_representation(), np.ones(adata.n_obs)])
    onto = np.linalg.lstsq(z, adata.obsm["latent"], rcond=None)[0]
    found = model.get_group_trajectories(times=times) @ onto[:2] + onto[2]
    truth = adata.uns["scgauge_truth"]["trajectories"]
    extent = np.ptp(truth[["u1", "u2"]].to_numpy())
    errors = []
    for _, true in truth.groupby("group"):
        expected = np.column_stack([np.interp(times, true["time"], true[name]) for name in ("u1", "u2")])
        errors.append(np.sqrt(np.square(found - expected).mean((1, 2))).min() / extent)
    return errors


@pytest.fixture(scope="module")
def model():  # one of the five seeds of benchmarks/time_series_groups.py, smaller
    return fit(simulate_time_series(480, 60, separation=4.0, rng=0))


@pytest.fixture(scope="module")
def branching():
    return fit(simulate_time_series(480, 60, separation=0.0, rng=0))


def test_planted_groups_are_found(model):
    table = model.get_groups()
    assert list(table.index) == list(model.adata.obs_names)
    np.testing.assert_allclose(table[["probability_0", "probability_1"]].sum(axis=1), 1, rtol=1e-6)
    assert adjusted_rand_score(model.adata.obs["group"], table["group"]) > 0.9
    assert max(course_errors(model, TIMES)) < 0.1


def test_groups_that_branch_are_told_apart_once_they_have_parted(branching):
    own, truth = branching.adata.obs["time"].to_numpy(), branching.adata.obs["group"]
    table = branching.get_groups()
    assert adjusted_rand_score(truth[own >= 4], table["group"][own >= 4]) > 0.85
    certain = table[["probability_0", "probability_1"]].max(axis=1)
    assert certain[own == 0].mean() < 0.75
    assert certain[own == 5].mean() > 0.95
    assert max(course_errors(branching, TIMES)) < 0.1


def test_cells_of_one_place_go_both_ways(branching):
    cells = branching.predict_state(times=[0.0, 5.0], n_cells=400, start="first", kind="latent", rng=0)
    assert list(cells.obs["odevae_group"].cat.categories) == ["0", "1"]
    late = cells[(cells.obs["time"] == 5.0).to_numpy()]
    mine = branching.module.group_probability
    import torch

    here = mine(torch.as_tensor(late.X), torch.ones(late.n_obs)).numpy()
    assert (here.argmax(1) == late.obs["odevae_group"].cat.codes).mean() > 0.9
    # The same cell is drawn several times: it does not always go the same way.
    ways = late.obs.groupby("source_cell", observed=True)["odevae_group"].nunique()
    assert (ways == 2).sum() > 10


def test_probabilities_are_those_of_the_learned_groups(model):
    own, z = model.adata.obs["time"].to_numpy(), model.get_latent_representation()
    mixture = model.module.groups
    table = model.get_groups()
    for index in (0, 5):
        rows = np.flatnonzero(own == TIMES[index])
        parts = [part[index].numpy() for part in (mixture.mean, mixture.covariance, mixture.share)]
        density = np.column_stack([s * multivariate_normal(m, c).pdf(z[rows]) for m, c, s in zip(*parts, strict=True)])
        expected = density[:, 0] / density.sum(1)
        np.testing.assert_allclose(table["probability_0"].iloc[rows], expected, atol=1e-5)


def test_velocity_is_the_mean_over_groups(branching):
    rows = np.arange(0, 480, 37)
    own = branching.adata.obs["time"].to_numpy()[rows]
    z = branching.get_latent_representation(indices=rows)
    probability = branching.get_groups(indices=rows)[["probability_0", "probability_1"]].to_numpy()
    module, expected = branching.module, np.zeros_like(z)
    for group in range(2):
        theta = module.theta(len(rows), None, branching._group_rows(np.full(len(rows), group)))
        at = branching._tensor(branching._scaled(own))[:, None]
        speed = module.field(at, branching._tensor(z), theta).detach().numpy() / 5
        expected += probability[:, [group]] * speed
    np.testing.assert_allclose(branching.get_velocity(indices=rows), expected, rtol=1e-4, atol=1e-6)


def test_trajectories_follow_the_probable_group_and_draws_both(branching):
    first = np.flatnonzero(branching.adata.obs["time"] == 0)
    paths = branching.get_trajectories(times=[0.0, 5.0], indices=first)
    best = branching.get_groups(indices=first)["group"].cat.codes.to_numpy()
    theta = branching.module.theta(len(first), None, branching._group_rows(best))
    z = branching.get_latent_representation(indices=first)
    np.testing.assert_allclose(paths, branching._move(z, 0.0, [0.0, 1.0], theta.detach()), rtol=1e-5, atol=1e-6)
    draws = branching.get_trajectories(times=[5.0], indices=first[:1], n_samples=60, rng=0)[:, 0, 0]
    spread = branching.get_group_trajectories(times=[5.0])[:, 0]
    nearest = np.square(draws[:, None] - spread).sum(-1).argmin(1)
    assert set(nearest) == {0, 1}


def test_parameters_of_each_group():
    model = small(dynamics="affine")
    table = model.get_ode_parameters()
    assert list(table["group"]) == ["0", "1"]
    matrix, offset = (
        part.detach().numpy() / 3 for part in model.module.field.system(model.module.parameter_net.shared)
    )
    np.testing.assert_allclose(table[["a11", "a12", "a21", "a22"]], matrix.reshape(2, 4), rtol=1e-6)
    np.testing.assert_allclose(table[["c1", "c2"]], offset, rtol=1e-6)
    learned = small().get_ode_parameters()
    assert list(learned["group"]) == ["0"] * 3 + ["1"] * 3
    assert np.isfinite(learned.drop(columns="group").to_numpy(float)).all()


def test_one_group_is_the_model_without_groups():
    plain, one = (
        small(n_groups=1),
        fit(simulate_time_series(120, 20, times=(0, 1, 3), rng=0), epochs=3, plan={"n_flow_steps": 10}, n_groups=1),
    )
    assert "groups.mean" not in one.module.state_dict()
    first, second = (m.predict_state(times=[2.0], n_cells=15, rng=0) for m in (plain, one))
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    assert "odevae_group" not in first.obs
    table = one.get_groups()
    assert (table["probability_0"] == 1).all()
    np.testing.assert_allclose(one.get_group_trajectories(times=[0.0, 3.0]).shape, (1, 2, 2))


def test_saved_and_loaded(tmp_path):
    model = small()
    model.save(tmp_path / "model", save_anndata=True)
    again = ODEVI.load(tmp_path / "model")
    np.testing.assert_array_equal(model.get_groups()["probability_1"], again.get_groups()["probability_1"])
    first, second = (m.predict_state(times=[2.0], n_cells=15, rng=0) for m in (model, again))
    np.testing.assert_array_equal(first.obsm["X_odevae"], second.obsm["X_odevae"])
    assert list(first.obs["odevae_group"]) == list(second.obs["odevae_group"])


def test_the_unit_of_time_does_not_matter():
    hours, days = (simulate_time_series(120, 20, times=(0, 1, 3), rng=0) for _ in range(2))
    days.obs["time"] /= 24
    quick = {"epochs": 3, "plan": {"n_flow_steps": 10}, "dynamics": "affine"}
    one, other = (fit(cells, **quick) for cells in (hours, days))
    np.testing.assert_allclose(one.get_groups()["probability_0"], other.get_groups()["probability_0"], atol=1e-5)
    paths = [m.get_group_trajectories(times=np.array([0.0, 2.0]) / u) for m, u in ((one, 1), (other, 24))]
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:scvi")
def test_an_interrupted_run_with_groups_goes_on_to_the_same_model(tmp_path):
    from faults.interrupted_run import StopAt

    joint = {"joint_share": 0.5, "n_flow_steps": 2}
    cells = simulate_time_series(120, 20, times=(0, 1, 3), rng=0)
    whole = fit(cells.copy(), epochs=4, plan=joint, dynamics="affine")
    path = tmp_path / "run.ckpt"
    with pytest.raises(ArithmeticError):
        fit(
            cells.copy(), epochs=4, plan=joint, dynamics="affine", train={"resume_from": path, "callbacks": [StopAt(3)]}
        )
    again = fit(cells.copy(), epochs=4, plan=joint, dynamics="affine", seed=7, train={"resume_from": path})
    for name, value in whole.module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.module.state_dict()[name].numpy(), err_msg=name)


def test_other_cells_have_groups_at_any_time(model):
    other = simulate_time_series(60, 60, times=(0.5, 2.5), separation=4.0, rng=0)
    table = model.get_groups(other)
    assert list(table.index) == list(other.obs_names)
    assert np.isfinite(table["probability_0"]).all()


def test_figure_shows_the_shares_of_the_groups(model):
    panels = pl.groups(model, show=False)
    table, own = model.get_groups(), model.adata.obs["time"].to_numpy()
    for line, column in zip(panels[1].get_lines(), ("probability_0", "probability_1"), strict=False):
        expected = table[column].groupby(own).mean()
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-9)
    plt.close("all")
    cells = simulate_time_series(60, 20, times=(0, 1), rng=0)
    CountVI.setup_anndata(cells)
    with pytest.raises(TypeError, match="CountVI, which has no groups"):
        pl.groups(CountVI(cells), show=False)


class Still(__import__("torch").nn.Module):
    n_theta = 0

    def forward(self, t, z, theta):
        return 0 * z


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"n_groups": 0}, "n_groups=0 was given; an integer of at least 1"),
        ({"n_groups": 1.5}, "n_groups=1.5 was given"),
        ({"n_groups": 2, "dynamics": Still()}, "has no parameters"),
    ],
)
def test_groups_that_cannot_be(network, message):
    cells = simulate_time_series(60, 20, times=(0, 1), rng=0)
    ODEVI.setup_anndata(cells, time_key="time")
    with pytest.raises(ValueError, match=message):
        ODEVI(cells, n_latent=2, **network)


def test_individuals_have_no_learned_groups():
    from scgauge.datasets import simulate_longitudinal

    visits = simulate_longitudinal(10, rng=0)
    ODEVI.setup_anndata(visits, time_key="time", subject_key="subject", baseline_obsm_key="baseline")
    with pytest.raises(ValueError, match="n_groups=2 was given; 1 is needed for individuals"):
        ODEVI(visits, gene_likelihood="normal", n_groups=2)
    with pytest.raises(ValueError, match="divide individuals with get_trajectory_groups"):
        ODEVI(visits, gene_likelihood="normal").get_groups()
