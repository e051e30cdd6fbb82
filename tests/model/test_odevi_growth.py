"""ODEVI on cells that multiply: growth is not read as motion."""

import numpy as np
import pytest
import scvi
from cells import train_quietly
from sklearn.neighbors import KNeighborsClassifier

from scgauge.datasets import simulate_longitudinal, simulate_time_series
from scgauge.model import ODEVI
from scgauge.tl import held_out_time
from scgauge.tl._held_out_time import _neighbour

#: Growth of two branches; the second one multiplies threefold in two units of time.
RATES = (0.0, np.log(3) / 2)


def make(seed=0, n_obs=480, **arguments):
    return simulate_time_series(n_obs, 40, separation=4.0, growth_rates=RATES, rng=seed, **arguments)


def fit(adata, *, growth_key="growth_rate", epochs=60, plan=None, seed=0, **network):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, time_key="time", growth_key=growth_key)
    model = ODEVI(adata, **({"n_latent": 2, "n_hidden": 32} | network))
    return train_quietly(model, max_epochs=epochs, accelerator="cpu", plan_kwargs={"n_flow_steps": 200} | (plan or {}))


def quick(adata, **arguments):
    return fit(adata, epochs=3, plan={"n_flow_steps": 10}, **arguments)


def share_and_crossings(model, time, **arguments):
    """Share of predicted cells in the growing branch, and of those that have left the branch of their source."""
    label = model.adata.obs["group"]
    nearest = KNeighborsClassifier(15).fit(model.get_latent_representation(), label)
    cells = model.predict_state(times=[time], kind="latent", n_cells=1000, rng=0, **arguments)
    there = nearest.predict(cells.X)
    return np.mean(there == "group_1"), np.mean(there != label.loc[cells.obs["source_cell"]].to_numpy())


def true_share(time):
    return 1 / (1 + np.exp(-RATES[1] * time))


def compare(seed, *, n_obs=480, **more):
    """(Share, crossings) of forecasts of the last from the first snapshot, without and with growth."""
    adata = make(seed, n_obs)
    return [share_and_crossings(fit(adata, growth_key=key, seed=seed, **more), 5.0, start="first")
            for key in (None, "growth_rate")]  # fmt: skip


def test_branches_that_grow_do_not_attract_the_cells_of_others():
    (_, crossing_without), (share, crossing) = compare(0, n_obs=300, epochs=25, plan={"lr": 4e-3, "n_flow_steps": 150})
    assert crossing_without > 0.3  # half of the cells of the still branch have to move over
    assert crossing < 0.05
    assert abs(share - true_share(5.0)) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_groups", [1, 2])
def test_branches_that_grow_over_seeds(seed, n_groups):
    (share_without, crossing_without), (share, crossing) = compare(seed, n_groups=n_groups)
    assert crossing < 0.08
    assert abs(share - true_share(5.0)) < 0.06
    # One field moves cells over; fields of groups keep them where they are, so that the share is wrong.
    assert crossing_without > 0.3 or abs(share_without - true_share(5.0)) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_share_of_a_held_out_time_over_seeds(seed):
    adata = make(seed)
    model = fit(adata[adata.obs["time"] != 3.0].copy(), seed=seed)
    share, _ = share_and_crossings(model, 3.0)
    assert abs(share - true_share(3.0)) < 0.05


def test_sources_are_drawn_by_their_growth():
    model = quick(make(n_obs=120, times=(0, 1, 3)))
    label = model.adata.obs["group"]
    for n_cells, size in ((None, 40), (500, 500)):
        cells = model.predict_state(times=[2.5], kind="latent", n_cells=n_cells, rng=0)
        assert cells.n_obs == size
        assert (cells.obs["source_time"] == 1).all()
        share = np.mean(label.loc[cells.obs["source_cell"]] == "group_1")
        np.testing.assert_allclose(share, true_share(2.5), atol=0.03)
    # From all times, backward too: each snapshot keeps its share of the cells.
    cells = model.predict_state(times=[1.0], kind="latent", start="all", rng=0)
    assert (cells.obs["source_time"].value_counts() == 40).all()
    late = cells.obs[cells.obs["source_time"] == 3]
    there = label[model.adata.obs["time"] == 3].value_counts()
    ancestors = there["group_1"] * np.exp(-2 * RATES[1])
    expected = ancestors / (ancestors + there["group_0"])
    np.testing.assert_allclose(np.mean(label.loc[late["source_cell"]] == "group_1"), expected, atol=1 / 40)


def test_growth_that_all_cells_share_draws_each_of_them_once():
    adata = make(n_obs=120, times=(0, 1, 3))
    adata.obs["growth_rate"] = 7.0
    cells = quick(adata).predict_state(times=[2.0], kind="latent", rng=0)
    assert cells.obs["source_cell"].is_unique


def test_the_unit_of_time_does_not_matter():
    hours, days = (make(n_obs=120, times=(0, 1, 3)) for _ in range(2))
    days.obs["time"] /= 24
    days.obs["growth_rate"] *= 24
    plan = {"n_flow_steps": 10, "joint_share": 0.5}
    one, other = (fit(cells, epochs=4, plan=plan, dynamics="affine") for cells in (hours, days))
    first, second = (m.predict_state(times=[2.0 / u], kind="latent", rng=0) for m, u in ((one, 1), (other, 24)))
    np.testing.assert_allclose(first.X, second.X, rtol=1e-3, atol=1e-4)
    still = fit(make(n_obs=120, times=(0, 1, 3)), epochs=4, plan=plan, dynamics="affine", growth_key=None)
    assert np.abs(still.get_velocity() - one.get_velocity()).max() > 1e-3


@pytest.mark.parametrize("matching", ["sinkhorn", "sliced", "mmd"])
def test_every_distance_takes_growth(matching):
    plan = {"n_flow_steps": 8, "matching": matching, "joint_share": 0.5}
    model = fit(make(n_obs=120, times=(0, 1, 3)), epochs=2, plan=plan, dynamics="affine", n_groups=2)
    assert np.isfinite(model.get_velocity()).all()
    assert set(model.get_groups()["group"]) <= {"0", "1"}


def test_growth_is_kept(tmp_path):
    adata = make(n_obs=120, times=(0, 1, 3))
    model = quick(adata)
    model.save(tmp_path / "model", save_anndata=True)
    again = ODEVI.load(tmp_path / "model")
    one, other = (m.predict_state(times=[2.0], rng=0) for m in (model, again))
    assert list(one.obs["source_cell"]) == list(other.obs["source_cell"])
    seen = []

    def refit(cells, seed):
        seen.append(sorted(cells.obs["growth_rate"].unique()))
        return quick(cells)

    held_out_time(adata, refit, n_cells=20, rng=0, progress=False)
    held_out_time(adata, model, n_cells=20, rng=0, progress=False)
    assert seen == [sorted(RATES)]


def test_simple_predictions_know_growth_where_the_model_does():
    """Of two branches one multiplies: neighbouring snapshots are drawn in the shares of the time between."""
    adata = simulate_time_series(
        480, 40, times=(0, 2, 4), n_groups=2, separation=4.0, growth_rates=RATES, library_size=3000, rng=0
    )
    label = adata.obs["group"]
    own, growth, rng = adata.obs["time"].to_numpy(), adata.obs["growth_rate"].to_numpy(), np.random.default_rng(0)
    for begin in (0.0, 4.0):
        share = np.mean(label.iloc[_neighbour(own, np.flatnonzero(own == begin), 2.0, growth, rng)] == "group_1")
        np.testing.assert_allclose(share, true_share(2.0), atol=0.01)
        assert (
            list(_neighbour(own, np.flatnonzero(own == begin), 2.0, None, rng)) == np.flatnonzero(own == begin).tolist()
        )
    energies = []
    for growth_key in (None, "growth_rate"):
        found = held_out_time(
            adata,
            lambda cells, _, key=growth_key: quick(cells, growth_key=key),
            n_cells=200,
            rng=0,
            progress=False,
            copy=True,
        ).uns["held_out_time"]["scores"]
        energies.append(
            found[(found["space"] == "pca5") & (found["statistic"] == "energy")].set_index("method")["value"]
        )
    for method in ("copy_previous", "copy_next"):
        assert energies[1][method] < 0.7 * energies[0][method]
    np.testing.assert_array_equal(energies[0]["floor"], energies[1]["floor"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda a: a.obs["growth_rate"].where(a.obs["time"] > 0),
            ValueError,
            "has 40 missing values; growth_key",
        ),
        (lambda a: a.obs["growth_rate"].replace(0.0, np.inf), ValueError, "infinite values; growth_key needs"),
        (
            lambda a: np.where(a.obs["growth_rate"] > 0, "fast", "slow"),
            ValueError,
            "does not hold numbers, which growth",
        ),
        (
            lambda a: a.obs["growth_rate"] + np.where(np.arange(120) == 3, 24, 0),
            ValueError,
            "the cells at the time 1 stem from 1.0 of 40 cells at 0, in effect; at least 5 are needed. Rates are",
        ),
    ],
)
def test_growth_that_cannot_be_used(change, error, message):
    adata = make(n_obs=120, times=(0, 1, 3))
    adata.obs["growth_rate"] = change(adata)
    with pytest.raises(error, match=message):
        ODEVI.setup_anndata(adata, time_key="time", growth_key="growth_rate")
    assert not any(key.startswith("_scvi") for key in (*adata.obs, *adata.uns))


def test_growth_that_is_missing_or_of_individuals():
    with pytest.raises(KeyError, match="growth_key='rate'"):
        ODEVI.setup_anndata(make(n_obs=120), time_key="time", growth_key="rate")
    visits = simulate_longitudinal(10, rng=0)
    visits.obs["rate"] = 0.0
    with pytest.raises(ValueError, match="growth_key='rate' and subject_key='subject' were given; growth is that of"):
        ODEVI.setup_anndata(visits, time_key="time", subject_key="subject", growth_key="rate")
    model = quick(make(n_obs=120, times=(0, 1, 3)))
    other = make(n_obs=60, times=(0, 1, 3), seed=1)
    assert model.predict_state(other, times=[2.0], kind="latent", rng=0).n_obs == 20
    without = make(n_obs=60, times=(0, 1, 3), seed=1)
    del without.obs["growth_rate"]
    with pytest.raises(KeyError, match="Did not find 'growth_rate' in adata.obs, .* as its growth rate"):
        model.predict_state(without, times=[2.0])
