"""ODEVI on individuals who are measured by several instruments: one state, one encoder and decoder each."""

import numpy as np
import pandas as pd
import pytest
import scvi
from cells import train_quietly
from scipy.linalg import expm

from scgauge import tl
from scgauge.datasets import simulate_longitudinal
from scgauge.model import ODEVI

SETUP = {"time_key": "time", "subject_key": "subject", "baseline_obsm_key": "baseline"}
VISITS = 5


def make(n=60, seed=0):
    """Visits that take one of two instruments; the last one of each subject takes the first."""
    adata = simulate_longitudinal(n, n_visits=VISITS, start_sd=0.5, n_instruments=2, rng=seed)
    measured = adata.layers["expected"] + np.random.default_rng(seed).normal(0, 0.1, adata.shape)
    last = np.arange(adata.n_obs) % VISITS == VISITS - 1
    adata.X[last] = np.where(items_of(adata, 0), measured, np.nan)[last]
    return adata


def items_of(adata, number):
    return (adata.var["instrument"] == f"instrument_{number}").to_numpy()


def fit(adata, *, epochs=60, seed=0, train=None, plan=None, **setup):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **SETUP, **setup)
    model = ODEVI(adata, gene_likelihood="normal", n_hidden=32)
    arguments = {"max_epochs": epochs, "accelerator": "cpu", "train_size": 1.0, "batch_size": 20, "plan_kwargs": plan}
    return train_quietly(model, **(arguments | (train or {})))


def rmse(found, expected):
    return float(np.sqrt(np.square(found - expected).mean()))


def truth(adata, times):
    """Items without noise of each subject at its time, ``(n_subjects, n_items)``."""
    first = adata[~adata.obs["subject"].duplicated()]
    table = adata.uns["scgauge_truth"]["parameters"].set_index("group")
    matrices = table.loc[first.obs["group"].astype(str)].to_numpy(float).reshape(-1, 2, 2)
    each = zip(matrices, times, first.obsm["start"], strict=True)
    states = np.stack([expm(matrix * time) @ start for matrix, time, start in each])
    return states @ adata.varm["weights"].T + adata.var["offset"].to_numpy()


def predict(model, adata, times):
    """Predicted items of each subject at its time, ``(n_subjects, n_items)``."""
    wanted, column = np.unique(times, return_inverse=True)
    found = model.predict_state(adata, times=wanted, kind="rates").X.reshape(len(wanted), len(times), -1)
    return found[column, np.arange(len(times))]


def compare(seed, model=None):
    """Error of the second instrument half a unit of time after the first was taken: from both, from the second alone.

    Subjects who took the second at less than two visits are not compared.
    """
    adata = make(seed=seed)
    second = items_of(adata, 1)
    alone = adata[~np.isnan(adata.X[:, second]).any(1), second].copy()
    alone = alone[alone.obs.groupby("subject", observed=True)["time"].transform("size") > 1].copy()
    compared = adata.obs["subject"].drop_duplicates().isin(alone.obs["subject"].unique()).to_numpy()
    times = (
        adata.obs.groupby("subject", observed=True)["time"].max().loc[adata.obs["subject"].unique()].to_numpy() + 0.5
    )
    expected = truth(adata, times)[compared][:, second]
    joint = predict(model or fit(adata, seed=seed, instrument_key="instrument"), adata, times)
    separate = predict(fit(alone, seed=seed), alone, times[compared])
    return rmse(joint[compared][:, second], expected), rmse(separate, expected)


@pytest.fixture(scope="module")
def model():
    return fit(make(), instrument_key="instrument")


def test_an_instrument_that_was_not_taken_is_predicted_from_the_other(model):
    adata = model.adata
    decoded = model.decode(model.get_latent_representation())
    for number in (0, 1):
        mine = items_of(adata, number)
        missing = np.isnan(adata.X[:, mine]).any(1)
        expected = adata.layers["expected"][:, mine]
        crossed = rmse(decoded[np.ix_(missing, mine)], expected[missing])
        assert crossed < 0.25 * rmse(expected[~missing].mean(0), expected[missing])
        assert crossed < 2 * rmse(decoded[np.ix_(~missing, mine)], expected[~missing])


def test_trajectories_of_both_instruments_are_near_the_truth(model):
    adata = model.adata
    times = [np.full(60, time) for time in (1.0, 4.0, 8.0)]
    found = np.stack([predict(model, adata, each) for each in times])
    expected = np.stack([truth(adata, each) for each in times])
    for number in (0, 1):
        mine = items_of(adata, number)
        assert rmse(found[..., mine], expected[..., mine]) < 0.25 * expected[..., mine].std()


def test_an_instrument_is_predicted_better_if_the_other_was_taken_since(model):
    joint, separate = compare(0, model)
    assert joint < 0.6 * separate


@pytest.mark.slow
def test_both_instruments_are_better_than_one_over_seeds():
    joint, separate = np.transpose([compare(seed) for seed in range(1, 5)])
    assert (joint < separate).all()
    assert joint.mean() < 0.8 * separate.mean()


def test_every_instrument_of_a_visit_is_a_start(model):
    """The same by hand: the code of each instrument alone, scipy's matrix exponential, inverse variances."""
    adata = make()
    both = adata.obs["subject"] == "subject_3"
    adata.X[both] = adata.layers["expected"][both]
    found = model.predict_state(adata, times=[5.0], kind="latent")
    mine = found[(found.obs["subject"] == "subject_3").to_numpy()]
    row = model.get_ode_parameters().set_index("subject").loc["subject_3"]
    joined = np.zeros((3, 3))
    joined[:2, :2] = row[["a11", "a12", "a21", "a22"]].to_numpy(float).reshape(2, 2)
    joined[:2, 2] = row[["c1", "c2"]].to_numpy(float)
    diffusion = model.module.log_diffusion.exp().detach().numpy() / model.module.span
    total, weighted, roots = np.zeros((3, 2))
    for number in (0, 1):
        alone = adata[both].copy()
        alone.X[:, ~items_of(adata, number)] = np.nan
        mean, variance = model.get_latent_representation(alone, return_dist=True)
        for time, centre, spread in zip(alone.obs["time"], mean, variance, strict=True):
            solved = expm(joined * (5.0 - time))
            carried = np.square(solved[:2, :2]) @ spread + diffusion * abs(5.0 - time)
            total += 1 / carried
            roots += 1 / np.sqrt(carried)
            weighted += (solved[:2, :2] @ centre + solved[:2, 2]) / carried
    np.testing.assert_allclose(mine.X[0], weighted / total, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mine.obsm["X_odevae_sd"][0], roots / total, rtol=1e-3)


def test_bands_trajectories_and_samples_have_all_items(model, tmp_path):
    bands = model.get_bands(times=[2.0, 6.0], n_samples=10, rng=0)
    assert bands.groupby("instrument", sort=False)["item"].nunique().to_dict() == {
        "instrument_0": 10,
        "instrument_1": 10,
    }
    assert dict(zip(bands["item"], bands["instrument"], strict=True)) == model.adata.var["instrument"].to_dict()
    paths = model.get_trajectories(times=[2.0, 6.0], n_samples=3, rng=0)
    assert paths.shape == (3, 60, 2, 2)
    assert np.ptp(paths, axis=0).min() > 0
    assert np.isfinite(model.predict_state(times=[2.0], rng=0).X).all()
    assert model.get_velocity(space="gene").shape == (300, 20)
    assert np.isfinite(float(model.get_elbo()))
    tl.trajectory(model.adata, model, n_cells=5, rng=0)
    model.save(tmp_path / "m", save_anndata=True)
    again = ODEVI.load(tmp_path / "m")
    one, other = (part.predict_state(times=[3.0], kind="rates").X for part in (model, again))
    np.testing.assert_array_equal(one, other)


def test_individuals_who_took_one_instrument_are_served(model):
    other = make(6, seed=5)
    other.obs["subject"] = other.obs["subject"].astype(str).radd("new_").astype("category")
    other.X[:, items_of(other, 1)] = np.nan
    other = other[~np.isnan(other.X).all(1)].copy()
    del other.var["instrument"]
    found = model.predict_state(other, times=[2.0, 4.0], kind="rates")
    assert np.isfinite(found.X).all()
    one = found[(found.obs["subject"] == "new_subject_3").to_numpy()]
    alone = model.predict_state(other[other.obs["subject"] == "new_subject_3"].copy(), times=[2.0, 4.0], kind="rates")
    np.testing.assert_allclose(alone.X, one.X, rtol=1e-4, atol=1e-4)


def test_one_instrument_is_the_model_without():
    adata = simulate_longitudinal(12, rng=0)
    plain = fit(adata.copy(), epochs=3)
    adata.var["instrument"] = "only"
    named = fit(adata.copy(), epochs=3, instrument_key="instrument", plan={"alignment_weight": 7.0})
    for key, value in plain.module.state_dict().items():
        np.testing.assert_array_equal(value, named.module.state_dict()[key])
    pd.testing.assert_frame_equal(plain.history["train_loss"], named.history["train_loss"])
    one, other = (part.get_bands(times=[3.0], n_samples=5, rng=0) for part in (plain, named))
    pd.testing.assert_frame_equal(one, other.drop(columns="instrument"))


def test_missing_items_similar_subjects_and_validation():
    adata = make(12)
    adata.X[::3, 0] = adata.X[1::3, 15] = np.nan
    model = fit(adata, epochs=2, train={"train_size": 0.7}, plan={"n_similar": 4}, instrument_key="instrument")
    assert all(parameter.isfinite().all() for parameter in model.module.parameters())
    assert len(model.validation_indices) == 4 * VISITS
    assert len(model.get_similar_subjects(n_similar=2)) == 24


@pytest.mark.parametrize(
    ("change", "setup", "error", "match"),
    [
        (None, {"subject_key": None}, ValueError, "'instrument' was given without subject_key"),
        (None, {"instrument_key": "test"}, KeyError, "Did not find instrument_key='test' in adata.var; found"),
        (lambda names: names.mask(names.index == "item_4"), {}, ValueError, "missing for the item 'item_4'"),
        (lambda names: names.where(names.index != "item_4", "walk"), {}, ValueError, "'walk' in .* has one item"),
    ],
)
def test_bad_instruments(change, setup, error, match):
    adata = make(12)
    if change is not None:
        adata.var["instrument"] = change(adata.var["instrument"].astype(object))
    before = list(adata.obs.columns)
    with pytest.raises(error, match=match):
        ODEVI.setup_anndata(adata, **(SETUP | {"instrument_key": "instrument"} | setup))
    assert list(adata.obs.columns) == before
    assert not any(key.startswith("_scvi") for key in adata.uns)


def test_bad_values_and_uses(model):
    adata = make(12)
    ODEVI.setup_anndata(adata, **SETUP, instrument_key="instrument")
    with pytest.raises(ValueError, match="gene_likelihood='nb' was given with instrument_key"):
        ODEVI(adata)
    adata.X[:, items_of(adata, 1)] = np.nan
    with pytest.raises(ValueError, match="'instrument_1' was taken at no visit"):
        ODEVI(adata, gene_likelihood="normal")
    with pytest.raises(TypeError, match="an encoder for each instrument"):
        tl.attribute(model.adata, model)
    with pytest.raises(ValueError, match="alignment_weight=-1"):
        fit(make(12), epochs=1, plan={"alignment_weight": -1}, instrument_key="instrument")


def test_instruments_that_no_subject_shares_warn():
    adata = make(12)
    odd = (adata.obs["subject"].cat.codes % 2 == 1).to_numpy()
    second = items_of(adata, 1)
    adata.X[:] = adata.layers["expected"]
    adata.X[np.ix_(odd, second)] = adata.X[np.ix_(~odd, ~second)] = np.nan
    ODEVI.setup_anndata(adata, **SETUP, instrument_key="instrument")
    with pytest.warns(UserWarning, match="No subject has taken both 'instrument_0' and 'instrument_1'"):
        ODEVI(adata, gene_likelihood="normal")
