"""Simulated time series hold the truth they claim to."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from scgauge.datasets import simulate_longitudinal, simulate_splat_paths, simulate_time_series


def derivative(design, values):
    if design == "lotka-volterra":
        alpha, beta, gamma, delta = values
        return lambda t, u: [alpha * u[0] - beta * u[0] * u[1], delta * u[0] * u[1] - gamma * u[1]]
    matrix = np.reshape(values, (2, 2))
    return lambda t, u: matrix @ u


@pytest.mark.parametrize("design", ["linear-2", "linear-4", "lotka-volterra"])
@pytest.mark.parametrize("n_groups", [2, 4])
def test_trajectories_solve_the_systems(design, n_groups):
    adata = simulate_longitudinal(8, design=design, n_groups=n_groups, n_visits=4, rng=0)
    truth = adata.uns["scgauge_truth"]
    for _, row in truth["parameters"].iterrows():
        path = truth["trajectories"].query("group == @row.group")
        start = path[["u1", "u2"]].to_numpy()[0]
        field = derivative(design, row.iloc[1:].to_numpy(float))
        exact = solve_ivp(field, (0, 10), start, t_eval=path["time"], rtol=1e-10, atol=1e-12).y.T
        np.testing.assert_allclose(path[["u1", "u2"]], exact, rtol=1e-5, atol=1e-7)
        # The states of the visits lie on it, also at times like 0.3 that an index would miss.
        mine = adata.obs["group"] == row["group"]
        steps = np.rint(adata.obs.loc[mine, "time"].to_numpy() * 10).astype(int)
        np.testing.assert_allclose(
            adata.obsm["state"][mine], path[["u1", "u2"]].to_numpy()[steps], rtol=1e-5, atol=1e-7
        )


def test_published_systems():
    table = simulate_longitudinal(4, design="linear-4", rng=0).uns["scgauge_truth"]
    assert table["parameters"].iloc[:, 1:].to_numpy().tolist() == [[-0.2, 0.1, 0.1, -0.2], [-0.2, 0.1, -0.1, 0.25]]
    path = table["trajectories"].query("group == 'group_1'")[["u1", "u2"]].to_numpy()
    np.testing.assert_allclose(path[30], expm(np.array([[-0.2, 0.1], [-0.1, 0.25]]) * 3) @ [4, 2], rtol=1e-9)


def test_visits_items_and_baseline():
    adata = simulate_longitudinal(200, n_visits=3, noise=0.1, rng=1)
    obs = adata.obs
    assert (obs.groupby("subject", observed=True)["time"].first() == 0).all()
    later = obs.loc[obs["time"] > 0, "time"]
    assert later.between(1.5, 10).all()
    assert not obs.duplicated(["subject", "time"]).any()
    expected = adata.obsm["state"][:, (adata.var["state"] == "u2").astype(int)] + adata.var["offset"].to_numpy()
    residual = adata.X - expected
    np.testing.assert_allclose([residual.mean(), residual.std()], [0, 0.1], atol=0.005)
    baseline = adata.obsm["baseline"]
    assert (baseline.groupby(obs["subject"].to_numpy()).nunique() == 1).all().all()
    sign = np.where(obs["group"] == "group_1", 1, -1)
    np.testing.assert_allclose((baseline.to_numpy() * sign[:, None]).mean(0)[:10], 1, atol=0.15)
    np.testing.assert_allclose((baseline.to_numpy() * sign[:, None]).mean(0)[10:], 0, atol=0.15)


def test_instruments_measure_one_state_at_different_visits():
    adata = simulate_longitudinal(100, n_visits=4, start_sd=0.5, n_instruments=2, noise=0.1, rng=0)
    first = (adata.var["instrument"] == "instrument_0").to_numpy()
    taken = ~np.isnan(adata.X)
    assert (taken[:, first].all(1) != taken[:, ~first].all(1)).all()
    assert (taken[:, first].any(1) != taken[:, ~first].any(1)).all()
    assert 0.4 < taken[:, first].mean() < 0.6
    expected = adata.obsm["state"] @ adata.varm["weights"].T + adata.var["offset"].to_numpy()
    np.testing.assert_allclose(adata.layers["expected"], expected, rtol=1e-5)
    residual = (adata.X - expected)[taken]
    np.testing.assert_allclose([residual.mean(), residual.std()], [0, 0.1], atol=0.005)
    table = adata.uns["scgauge_truth"]["parameters"].set_index("group")
    for row in (1, 7):
        matrix = table.loc[adata.obs["group"].iloc[row]].to_numpy(float).reshape(2, 2)
        state = expm(matrix * adata.obs["time"].iloc[row]) @ adata.obsm["start"][row]
        np.testing.assert_allclose(adata.obsm["state"][row], state)
    starts = adata.obsm["start"][::4]
    np.testing.assert_allclose([starts.mean(0), starts.std(0)], [[2, 1], [0.5, 0.5]], atol=0.15)
    plain = simulate_longitudinal(100, n_visits=4, noise=0.1, rng=0)
    assert (plain.obsm["start"] == [2, 1]).all()
    np.testing.assert_array_equal(plain.obsm["baseline"], adata.obsm["baseline"])


def test_baseline_of_parameters_and_of_four_groups():
    adata = simulate_longitudinal(40, design="linear-4", baseline="parameters", rng=0)
    table = adata.uns["scgauge_truth"]["parameters"].set_index("group")
    true = table.loc[adata.obs["group"].astype(str)].to_numpy()
    difference = adata.obsm["baseline"].to_numpy()[:, :20] - np.tile(true, 5)
    np.testing.assert_allclose(difference.std(), 0.1, rtol=0.1)
    four = simulate_longitudinal(40, n_groups=4, baseline_sd=0.0, n_informative=4, rng=0)
    assert len(four.obsm["baseline"].drop_duplicates()) == 4


@pytest.mark.parametrize("design", ["linear-2", "linear-4", "lotka-volterra"])
def test_snapshots_follow_the_trajectories_of_their_groups(design):
    adata = simulate_time_series(2400, 40, design=design, n_groups=3, times=(0, 1, 2.5), spread=0.2, rng=0)
    truth = adata.uns["scgauge_truth"]["trajectories"]
    for (time, group), rows in adata.obs.groupby(["time", "group"], observed=True).indices.items():
        path = truth[truth["group"] == group]
        center = [np.interp(time, path["time"], path[name]) for name in ("u1", "u2")]
        z = adata.obsm["latent"][rows]
        np.testing.assert_allclose(z.mean(0), center, atol=0.05)
        np.testing.assert_allclose(z.std(0), 0.2, rtol=0.15)
    assert adata.X.min() == 0
    np.testing.assert_allclose(np.asarray(adata.X.sum(1)).mean(), 1000, rtol=0.05)


def test_groups_grow_at_the_given_rates():
    adata = simulate_time_series(3000, 5, times=(0, 1, 2), growth_rates=(0.0, np.log(3)), rng=0)
    share = (adata.obs["group"] == "group_1").groupby(adata.obs["time"]).agg(["mean", "size"])
    np.testing.assert_allclose(share["mean"], [1 / 2, 3 / 4, 9 / 10], atol=1e-3)
    assert (share["size"] == 1000).all()
    rate = adata.obs.groupby("group", observed=True)["growth_rate"].unique()
    assert [list(part) for part in rate] == [[0.0], [np.log(3)]]


def test_groups_that_branch_start_together():
    truth = simulate_time_series(60, 10, separation=0, rng=0).uns["scgauge_truth"]["trajectories"]
    starts = truth[truth["time"] == 0][["u1", "u2"]].to_numpy()
    np.testing.assert_allclose(starts, [[2, 1], [2, 1]])


def test_counts_have_the_planted_mean_and_dispersion():
    adata = simulate_time_series(6000, 5, n_groups=1, times=(0,), spread=0.0, dispersion=2.0, rng=3)
    x, library = adata.X.toarray(), adata.obs["library_size"].to_numpy()
    share = np.exp(adata.var["base"]) / np.exp(adata.var["base"]).sum()
    np.testing.assert_allclose(x.mean(0), library.mean() * share, rtol=0.05)
    mean = library[:, None] * share.to_numpy()
    excess = ((x - mean) ** 2 - mean).mean(0) / (mean**2).mean(0)
    np.testing.assert_allclose(excess, 1 / adata.var["dispersion"], rtol=0.2)


def test_splat_paths_join_and_counts_follow_them():
    adata = simulate_splat_paths(3000, 50, path_from=(-1, 0, 0), n_steps=20, de_prob=0.5, rng=0)
    means = adata.uns["scgauge_truth"]["means"]
    assert means.shape == (3, 20, 50)
    np.testing.assert_allclose(means.sum(2), 1)
    np.testing.assert_allclose(means[1, 0], means[0, -1], rtol=0.2)  # one step apart
    assert np.abs(np.log(means[1, -1] / means[2, -1])).max() > 0.5
    x, obs = adata.X.toarray(), adata.obs
    expected = means[obs["path"].cat.codes, obs["step"]] * obs["library_size"].to_numpy()[:, None]
    frequent = expected.mean(0) > 200
    np.testing.assert_allclose(x.mean(0)[frequent], expected.mean(0)[frequent], rtol=0.05)
    assert (obs.loc[obs["path"] == "path_0", "pseudotime"] <= 1).all()
    assert (obs.loc[obs["path"] != "path_0", "pseudotime"] > 1).all()
    assert obs["time"].nunique() == 5
    assert np.abs(obs["time"] - obs["pseudotime"]).max() <= 0.2 + 1e-9


def test_splat_pseudotime_is_kept_on_request():
    obs = simulate_splat_paths(60, 10, n_times=None, rng=0).obs
    np.testing.assert_array_equal(obs["time"], obs["pseudotime"])


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (simulate_time_series, {"design": "spiral"}, "design='spiral' was given; choose from"),
        (simulate_time_series, {"times": (-1, 2)}, "finite times from 0 on are needed"),
        (simulate_time_series, {"n_obs": 3}, "n_obs=3 was given; an integer of at least 12"),
        (simulate_time_series, {"growth_rates": (1.0,)}, "a finite number for each of 2 groups"),
        (simulate_time_series, {"growth_rates": (0.0, np.nan)}, "a finite number for each of 2 groups"),
        (simulate_time_series, {"spread": -1}, "spread=-1 was given"),
        (simulate_time_series, {"library_size": 0}, "library_size=0 was given"),
        (simulate_longitudinal, {"n_visits": 1}, "n_visits=1 was given; an integer of at least 2"),
        (simulate_longitudinal, {"n_visits": 90}, "at most 80"),
        (simulate_longitudinal, {"n_informative": 60}, "must be in 0..50"),
        (simulate_longitudinal, {"baseline": "age"}, "baseline='age' was given"),
        (simulate_longitudinal, {"noise": -0.1}, "noise=-0.1 was given"),
        (simulate_longitudinal, {"start_sd": -1.0}, "start_sd=-1.0 was given"),
        (simulate_longitudinal, {"n_instruments": 0}, "n_instruments=0 was given; an integer of at least 1"),
        (simulate_splat_paths, {"n_times": 0}, "n_times=0 was given"),
        (simulate_splat_paths, {"de_prob": 2}, "de_prob=2 was given"),
        (simulate_splat_paths, {"de_scale": 0}, "de_scale=0 was given"),
    ],
)
def test_bad_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(**arguments)
