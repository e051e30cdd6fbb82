"""ODEVI on cohorts: several cells of each subject at each of its times."""

import numpy as np
import pytest
import scvi
from cells import train_quietly

from scgauge.datasets import simulate_time_series
from scgauge.model import ODEVI
from scgauge.tl import trajectory
from scgauge.train import CohortSplitter

SETUP = {"time_key": "time", "subject_key": "subject", "baseline_keys": ["dose", "age"]}
#: Subjects that the fixture is not trained on, one of each group.
UNSEEN = ["s0", "s6"]


def make(seed=0, *, n_obs=1080, n_subjects=12, times=(0, 2, 5), **arguments):
    """Subjects of two groups that start from one state and part; the dose tells the group, the age nothing."""
    adata = simulate_time_series(n_obs, 40, times=times, separation=0.0, rng=seed, **arguments)
    rng, half = np.random.default_rng(seed), n_subjects // 2
    number = np.empty(n_obs, dtype=int)
    for (_, group), rows in adata.obs.groupby(["time", "group"], observed=True).indices.items():
        number[rows] = np.arange(len(rows)) % half + half * int(group[-1])
    adata.obs["subject"] = np.char.add("s", number.astype(str))
    dose = rng.normal(0, 0.2, n_subjects) + np.where(np.arange(n_subjects) < half, -1, 1)
    adata.obs["dose"], adata.obs["age"] = dose[number], rng.normal(50, 10, n_subjects)[number]
    return adata


def fit(adata, *, epochs=40, plan=None, seed=0, setup=None, train=None, **network):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **(SETUP | (setup or {})))
    model = ODEVI(adata, **({"n_latent": 2, "n_hidden": 32, "dynamics": "affine"} | network))
    plan = {"n_flow_steps": 400, "lr": 3e-3} | (plan or {})
    return train_quietly(
        model, **({"max_epochs": epochs, "train_size": 1.0, "accelerator": "cpu", "plan_kwargs": plan} | (train or {}))
    )


def small(seed=0, **arguments):
    return fit(make(seed, n_obs=240, n_subjects=4), epochs=2, plan={"n_flow_steps": 6}, **arguments)


def courses(model, adata, times):
    """Mean state of each subject from its first cells: found in the planted plane, and true, ``(n, n_times, 2)``."""
    known = model.adata
    onto = np.linalg.lstsq(
        np.column_stack([model.get_latent_representation(), np.ones(known.n_obs)]), known.obsm["latent"], rcond=None
    )[0]
    cells = model.predict_state(adata, times=times, start="first", kind="latent", rng=0)
    truth = known.uns["scgauge_truth"]["trajectories"]
    found, true = [], []
    for subject in adata.obs["subject"].unique():
        mine = cells[(cells.obs["subject"] == subject).to_numpy()]
        means = np.stack([mine.X[(mine.obs["time"] == time).to_numpy()].mean(0) for time in times])
        found.append(means @ onto[:2] + onto[2])
        group = truth[truth["group"] == adata.obs["group"][adata.obs["subject"] == subject].iloc[0]]
        true.append(np.column_stack([np.interp(times, group["time"], group[name]) for name in ("u1", "u2")]))
    return np.array(found), np.array(true)


def relative_error(found, true):
    return np.sqrt(np.square(found - true).mean()) / np.ptp(true)


@pytest.fixture(scope="module")
def cohort():
    return make()


@pytest.fixture(scope="module")
def model(cohort):
    return fit(cohort[~cohort.obs["subject"].isin(UNSEEN)].copy())


def test_opposite_dynamics_follow_from_baseline_variables(model, cohort):
    for adata in (model.adata, cohort[cohort.obs["subject"].isin(UNSEEN)].copy()):
        found, true = courses(model, adata, [0.0, 2.0, 5.0])
        assert relative_error(found, true) < 0.15
        # The second state grows in one group and falls in the other.
        change, expected = (part[:, 2, 1] - part[:, 0, 1] for part in (found, true))
        np.testing.assert_array_equal(np.sign(change), np.sign(expected))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dynamics", ["affine", "neural"])
def test_opposite_dynamics_over_seeds(seed, dynamics):
    adata = make(seed, n_obs=2400, n_subjects=20, times=(0, 1, 2, 3, 4, 5))
    unseen = adata.obs["subject"].isin(["s0", "s1", "s10", "s11"])
    model = fit(adata[~unseen].copy(), seed=seed, dynamics=dynamics)
    for part in (model.adata, adata[unseen].copy()):
        found, true = courses(model, part, [3.0, 5.0])
        assert relative_error(found, true) < 0.15


def test_each_subject_is_predicted_from_its_own_cells(model):
    cells = model.predict_state(times=[1.0, 3.0], n_cells=7, rng=0)
    names = model.adata.obs["subject"].unique()
    assert cells.n_obs == 2 * 7 * len(names)
    assert list(cells.obs["subject"]) == list(np.tile(np.repeat(names, 7), 2))
    source = model.adata.obs.loc[cells.obs["source_cell"]]
    assert list(source["subject"]) == list(cells.obs["subject"])
    assert set(cells.obs["source_time"]) == {0.0, 2.0}


def test_other_subjects_do_not_matter_given_the_parameters(model):
    adata = model.adata.copy()
    changed = adata.copy()
    mine = (adata.obs["subject"] == "s3").to_numpy()
    changed.X[mine] = 4 * changed.X[mine]
    one, other = (model.predict_state(part, times=[1.0, 4.0], rng=0) for part in (adata, changed))
    rows = (one.obs["subject"] != "s3").to_numpy()
    np.testing.assert_array_equal(one.obsm["X_odevae"][rows], other.obsm["X_odevae"][rows])
    np.testing.assert_array_equal(one.obs["library_size"][rows], other.obs["library_size"][rows])
    assert (one[~rows].X != other[~rows].X).nnz > 0


def test_parameters_of_each_subject(model):
    table = model.get_ode_parameters()
    subjects = model.adata.obs.drop_duplicates("subject")
    assert list(table["subject"]) == list(subjects["subject"])
    entries = table[["a11", "a12", "a21", "a22", "c1", "c2"]].to_numpy(float)
    first = (subjects["group"] == "group_0").to_numpy()
    between = np.abs(entries[first].mean(0) - entries[~first].mean(0)).max()
    assert between > 2 * max(entries[first].std(0).max(), entries[~first].std(0).max())


def test_times_may_differ_between_subjects():
    adata = make(n_obs=480, n_subjects=4, times=(0, 1, 2, 4))
    adata.obs["time"] += 0.1 * adata.obs["subject"].str[1:].astype(float)
    keep = ~((adata.obs["subject"] == "s1") & (adata.obs["time"] > 1.5))
    model = fit(adata[keep].copy(), epochs=2, plan={"n_flow_steps": 10}, dynamics="neural")
    cells = model.predict_state(times=[2.05], n_cells=5, rng=0)
    source = cells.obs.groupby("subject")["source_time"].unique().map(list).to_dict()
    assert source == {"s0": [2.0], "s1": [1.1], "s2": [1.2], "s3": [1.3]}


def test_the_unit_of_time_does_not_matter():
    hours, days = (make(n_obs=240, n_subjects=4) for _ in range(2))
    days.obs["time"] /= 24
    one, other = (fit(cells, epochs=2, plan={"n_flow_steps": 20}) for cells in (hours, days))
    first, second = (m.predict_state(times=[3.0 / u], kind="latent", rng=0) for m, u in ((one, 1), (other, 24)))
    np.testing.assert_allclose(first.X, second.X, rtol=1e-3, atol=1e-4)


def test_sets_are_sets_of_subjects():
    model = small(train={"train_size": 0.75})
    subject = model.adata.obs["subject"].to_numpy()
    train, validation = (set(subject[index]) for index in (model.train_indices, model.validation_indices))
    assert len(train) == 3
    assert train | validation == set(subject)
    assert not train & validation
    assert isinstance(CohortSplitter(model.adata_manager), CohortSplitter)
    split = [np.arange(239), np.array([239]), np.array([], dtype=int)]
    with pytest.raises(ValueError, match="divides the visits of 1 subjects"):
        small(train={"datasplitter_kwargs": {"external_indexing": split}})


def test_saved_loaded_grown_and_followed(tmp_path):
    adata = make(n_obs=240, n_subjects=4, growth_rates=(0.0, 0.4))
    model = fit(adata, epochs=2, plan={"n_flow_steps": 6, "matching": "sinkhorn"}, setup={"growth_key": "growth_rate"})
    model.save(tmp_path / "model", save_anndata=True)
    again = ODEVI.load(tmp_path / "model")
    one, other = (m.predict_state(times=[3.0], rng=0) for m in (model, again))
    assert (one.X != other.X).nnz == 0
    assert list(one.obs["subject"]) == list(other.obs["subject"])
    trajectory(adata, model, n_cells=3, rng=0)
    assert adata.uns["trajectory"]["paths"].shape == (3, 41, 2)
    assert model.get_trajectories(times=[1.0]).shape == (240, 1, 2)
    with pytest.raises(ValueError, match="knows cells, no individuals at visits"):
        model.get_bands(times=[1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_groups": 2}, "n_groups=2 was given; 1 is needed for individuals"),
        ({"plan": {"joint_share": 0.5}}, "joint_share was given"),
        ({"train": {"devices": 2, "strategy": "ddp"}}, "cohorts matches the cells of each subject in one process"),
    ],
)
def test_what_cohorts_cannot_have(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(make(n_obs=240, n_subjects=4), epochs=1, **arguments)


def test_cohorts_that_cannot_be_used():
    adata = make(n_obs=240, n_subjects=4)
    adata.var["test"] = np.where(np.arange(40) < 20, "one", "other")
    with pytest.raises(ValueError, match="instrument_key='test' was given with several rows of a subject"):
        ODEVI.setup_anndata(adata, **SETUP, instrument_key="test")
    few = make(n_obs=240, n_subjects=4)
    few = few[~((few.obs["subject"] == "s1") & (few.obs["time"] == 2) & (np.arange(240) % 7 > 0))].copy()
    message = "several rows at the time .* at least 5 cells at each of its times, which 1 of 12 have not"
    with pytest.raises(ValueError, match=message):
        ODEVI.setup_anndata(few, **SETUP)
    adata = make(n_obs=240, n_subjects=4)
    adata.obs.loc[adata.obs_names[0], "dose"] = 9.0
    with pytest.raises(ValueError, match="changes within the subject"):
        ODEVI.setup_anndata(adata, **SETUP)
    adata = make(n_obs=240, n_subjects=4)
    adata.obs["subject"] = adata.obs["subject"] + adata.obs["time"].astype(str)
    with pytest.raises(ValueError, match="No subject .* has two visits"):
        ODEVI.setup_anndata(adata, **SETUP)
