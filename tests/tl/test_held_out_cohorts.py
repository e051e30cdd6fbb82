"""A time held out of cohorts: each subject is predicted from its own cells, and scored for itself, too."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scvi
from cells import train_quietly

from scgauge.datasets import simulate_longitudinal, simulate_time_series
from scgauge.model import ODEVI
from scgauge.pl import held_out_time as draw
from scgauge.tl import held_out_time
from scgauge.tl._held_out_cohorts import (
    Around,
    Cloud,
    compared_cells,
    drawn_in_shares,
    halves,
    naive_clouds,
    scored_subjects,
    sizes_in_shares,
    subject_scores,
)
from scgauge.tl._held_out_scores import Space, scores


def make(seed=0, *, n_obs=720, n_subjects=6, times=(0, 2, 5, 8), **arguments):
    """Subjects of two groups that start from one state and go opposite ways; the dose tells which."""
    adata = simulate_time_series(n_obs, 40, times=times, separation=0.0, rng=seed, **arguments)
    half = n_subjects // 2
    number = np.empty(n_obs, dtype=int)
    for (_, group), rows in adata.obs.groupby(["time", "group"], observed=True).indices.items():
        number[rows] = np.arange(len(rows)) % half + half * int(group[-1])
    adata.obs["subject"] = np.char.add("s", number.astype(str))
    dose = np.random.default_rng(seed).normal(0, 0.2, n_subjects) + np.where(np.arange(n_subjects) < half, -1, 1)
    adata.obs["dose"] = dose[number]
    return adata


def fit(cells, seed, *, keys=("dose",), epochs=2, n_flow_steps=6, growth_key=None):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(
        cells, time_key="time", subject_key="subject", baseline_keys=list(keys) or None, growth_key=growth_key
    )
    model = ODEVI(cells, n_latent=2, n_hidden=32, dynamics="affine")
    plan = {"n_flow_steps": n_flow_steps, "lr": 3e-3}
    return train_quietly(model, max_epochs=epochs, train_size=1.0, accelerator="cpu", plan_kwargs=plan)


def table_of(adata, model, **arguments):
    held_out_time(adata, model, **({"n_cells": 300, "rng": 0, "progress": False} | arguments))
    table = adata.uns["held_out_time"]["scores"]
    return table.set_index(["method", "space", "statistic"])["value"]


@pytest.fixture(scope="module")
def model():
    return fit(make(), 0)


def energies(adata, seed, keys, **training):
    """Mean distance of each subject's cells from those predicted for it, by the method."""

    def trained(cells, again):
        return fit(cells, again, keys=keys, **training)

    return table_of(adata, trained, times=[5.0], rng=seed)[:, "pca5", "subject_energy"]


def test_own_dynamics_of_subjects_are_seen():
    """Without the dose everybody has the dynamics of the average."""
    own, average = (energies(make(), 0, keys, epochs=60, n_flow_steps=200)["model"] for keys in (["dose"], []))
    assert own < 0.8 * average


@pytest.mark.slow
def test_own_dynamics_over_seeds():
    """They are better than the average's with each seed and than every simple prediction on average."""
    rows = []
    for seed in range(5):
        adata = make(seed, n_obs=960, n_subjects=8)
        own, average = (energies(adata, seed, keys, epochs=60, n_flow_steps=400) for keys in (["dose"], []))
        assert own["model"] < 0.8 * average["model"]
        rows.append(own)
    mean = pd.DataFrame(rows).mean()
    assert mean["floor"] < mean["model"] < mean.drop(["floor", "model"]).min()


def test_a_model_is_trained_anew_and_scored_beside_every_simple_prediction(model):
    adata = make()
    found = table_of(adata, model, times=[2.0])
    methods = {
        "floor",
        "copy_previous",
        "copy_next",
        "mixture",
        "mean_shift",
        "optimal_transport",
        "mean_cell",
        "model",
    }
    assert set(found[:, "pca5", "subject_wasserstein"].index) == methods
    assert set(found[:, "pca20", "subject_energy"].index) == methods
    assert set(found[:, "genes", "auc"].index) == methods
    assert found.notna().all()
    assert not any(key.startswith("_scvi") for key in adata.obs)
    axes = draw(adata, show=False)
    assert len(axes) == 3


def test_held_out_cells_are_never_seen():
    predictions = []

    def watched(cells, seed):
        trained = fit(cells, seed)
        predictions.append(trained.predict_state(times=[2.0], n_cells=5, kind="latent", rng=0).X)
        assert 2.0 not in set(cells.obs["time"])
        return trained

    for factor in (1, 7):
        adata = make()
        inside = adata.obs["time"].to_numpy() == 2.0
        adata.X = adata.X.multiply(np.where(inside, factor, 1)[:, None]).tocsr()
        table_of(adata, watched, times=[2.0])
    np.testing.assert_array_equal(*predictions)


def test_simple_predictions_of_each_subject_in_the_shares_of_the_real_cells(model):
    """The mean cells by hand: all else of them is known."""
    adata = make()
    rare = ((adata.obs["subject"] == "s0") & (adata.obs["time"] == 2) & (np.arange(720) % 2 == 0)).to_numpy()
    adata = adata[~rare].copy()
    found = table_of(adata, model, times=[2.0], n_cells=200)
    own, subject = adata.obs["time"].to_numpy(), adata.obs["subject"].to_numpy()
    space = Space.of(adata.X[own != 2], counts=True)
    values = space.expression(adata.X)
    real, n_cells = own == 2, 0
    means = []
    for name in np.unique(subject):
        before, after = (values[(own == time) & (subject == name)].mean(0) for time in (0, 5))
        share = (real & (subject == name)).sum() / real.sum()
        n_cells += share * 200
        means.append(np.tile(0.6 * before + 0.4 * after, (round(n_cells) - sum(map(len, means)), 1)))
    expected = scores(space, values[real], np.concatenate(means), 0)[0]
    assert expected[:2] == ("pca5", "wasserstein")
    np.testing.assert_allclose(found["mean_cell", "pca5", "wasserstein"], expected[2], rtol=1e-6)


def test_nothing_of_another_time_that_is_held_out_is_known():
    found = []
    for turned in (False, True):
        adata = make()
        other = np.flatnonzero(adata.obs["time"] == 5.0)
        if turned:
            x = adata.X.toarray()
            x[other] = x[other][:, ::-1]
            adata.X = type(adata.X)(x)
        table_of(adata, fit, times=[2.0, 5.0], together=True)
        table = adata.uns["held_out_time"]["scores"]
        assert list(table["time"].unique()) == [2.0, 5.0]
        found.append(table[table["time"] == 2.0])
        last = table[table["time"] == 5.0]
    assert len(found[0]) == len(last)
    pd.testing.assert_frame_equal(*found)


@pytest.mark.filterwarnings("ignore:A time lies 3 outside of the training times 0 to 5:UserWarning")
def test_a_forecast_and_growth(model):
    found = table_of(make(), model, times=[8.0])
    methods = {"floor", "copy_previous", "mean_cell", "model"}
    assert set(found[:, "pca5", "subject_wasserstein"].index) == methods

    def growing(cells, seed):
        return fit(cells, seed, growth_key="growth_rate")

    grown = table_of(make(growth_rates=(0.0, 0.15)), growing, times=[2.0])
    assert grown.notna().all()


def test_predictions_have_the_shares_of_the_real_cells():
    subject = np.repeat(["a", "b", "c"], [10, 30, 60])
    names = np.array(["a", "b", "c"])
    assert list(sizes_in_shares(subject, names, 200)) == [20, 60, 120]
    assert sizes_in_shares(subject, names, 7).sum() == 7
    pool = np.tile(np.repeat(names, 50), 1)
    drawn = pool[drawn_in_shares(pool, names, np.array([5, 15, 30]), np.random.default_rng(0))]
    assert list(drawn) == ["a"] * 5 + ["b"] * 15 + ["c"] * 30


@pytest.fixture
def small():
    """Space, expression, subject and time of cells of two subjects."""
    adata = make(n_obs=240, n_subjects=2)
    space = Space.of(adata.X, counts=True)
    return space, adata.X, adata.obs["subject"].to_numpy(), adata.obs["time"].to_numpy()


def test_simple_predictions_of_a_subject_are_made_of_its_own_cells(small):
    space, x, subject, own = small
    around = {name: Around(*(x[(subject == name) & (own == t)] for t in (0.0, 5.0)), 0.4) for name in ("s0", "s1")}
    sizes = np.array([70, 20])
    found = naive_clouds(space, around, sizes, np.random.default_rng(0))
    for name, size in zip(around, sizes, strict=True):
        first, last = (space.expression(part) for part in around[name][:2])
        mine = {method: cloud.expression[cloud.subject == name] for method, cloud in found.items()}
        assert {len(cells) for cells in mine.values()} == {size}
        copies = [np.flatnonzero((first == row).all(1))[0] for row in mine["copy_previous"]]
        times = np.bincount(copies, minlength=len(first))
        assert set(times) <= {size // len(first), size // len(first) + 1}
        moved = first + 0.4 * (last.mean(0) - first.mean(0))
        apart = np.abs(mine["mean_shift"][:, None] - moved).max(2)
        np.testing.assert_allclose(apart.min(1), 0, atol=1e-9)
        np.testing.assert_allclose(mine["mean_cell"], np.tile(0.6 * first.mean(0) + 0.4 * last.mean(0), (size, 1)))
    # No cells after the time: no interpolation for anybody.
    around["s1"] = Around(around["s1"].before, None, 0.0)
    assert set(naive_clouds(space, around, sizes, np.random.default_rng(0))) == {"copy_previous", "mean_cell"}


def test_subjects_that_are_mistaken_for_each_other_are_seen_by_their_own_scores_alone(small):
    space, x, subject, own = small
    late = own == 8.0
    real = Cloud(space.expression(x[late]), subject[late])
    one, other = halves(real, np.random.default_rng(0))
    assert sorted(one.subject) == sorted(other.subject)
    swapped = one._replace(subject=np.where(one.subject == "s0", "s1", "s0"))
    most = {"s0": 12, "s1": 12}
    right, wrong = (
        {(where, name): value for where, name, value in subject_scores(space, other, cloud, most, 0)}
        for cloud in (one, swapped)
    )
    assert right["pca5", "subject_energy"] < 0.5 * wrong["pca5", "subject_energy"]
    assert right["pca5", "subject_wasserstein"] < wrong["pca5", "subject_wasserstein"]
    assert scores(space, other.expression, one.expression, 0) == scores(space, other.expression, swapped.expression, 0)


def test_the_same_number_of_cells_is_compared_for_all_predictions(small):
    x = small[1]
    around = {
        "s0": Around(x[:12], x[:40], 0.5),
        "s1": Around(x[:50], None, 0.0),
        "few": Around(x[:50], x[:50], 0.5),
    }
    real = np.repeat(["s0", "s1", "few"], [60, 60, 3])
    assert compared_cells(around, real, np.array([25, 100, 100])) == {"s0": 12, "s1": 30}


def test_subjects_left_with_one_time_are_left_out_with_a_warning():
    subject = np.repeat(["a", "b", "c"], 3)
    own = np.array([0.0, 1, 2, 0, 1, 2, 1, 2, 2])
    with pytest.warns(UserWarning, match=r"1 of 3 subjects with cells at 1 have fewer than two times left.*'c'"):
        assert list(scored_subjects(subject, own, [1.0], 1.0)) == ["a", "b"]
    with pytest.raises(ValueError, match=r"Without the times \[0.0, 1.0\] none of the 2 subjects with cells at 0"):
        scored_subjects(subject, own, [0.0, 1.0], 0.0)
    adata = make()
    short = ((adata.obs["subject"] == "s1") & (adata.obs["time"] > 2)).to_numpy()
    adata = adata[~short].copy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = table_of(adata, fit, times=[2.0])
    told = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert any(text.startswith("1 of 6 subjects have one visit, for example 's1'") for text in told)
    assert any(text.startswith("1 of 6 subjects with cells at 2 have fewer than two times left") for text in told)
    assert found.notna().all()


def test_what_cannot_be_held_out(model):
    trained = []
    adata = make()
    with pytest.raises(ValueError, match="none of the 6 subjects with cells at 2 has two times left"):
        held_out_time(adata, model, times=[2.0, 5.0, 8.0], together=True, progress=False)
    other = make()
    other.obs = other.obs.rename(columns={"subject": "mouse"})
    with pytest.raises(KeyError, match="subject"):
        held_out_time(other, model, progress=False)
    assert "held_out_time" not in adata.uns
    visits = simulate_longitudinal(30, rng=0, n_visits=4)
    visits.obs["time"] = np.tile([0.0, 1.0, 2.0, 3.0], 30)

    def individuals(cells, seed):
        ODEVI.setup_anndata(cells, time_key="time", subject_key="subject", baseline_obsm_key="baseline")
        trained.append(ODEVI(cells, gene_likelihood="normal", n_hidden=8))
        return train_quietly(trained[-1], max_epochs=1, accelerator="cpu")

    with pytest.raises(ValueError, match="one of individuals"):
        held_out_time(visits, individuals, progress=False)
    assert len(trained) == 1
    assert "held_out_time" not in visits.uns
