"""ODEVI on individuals: predictions between visits, parameters, bands, splits, bad input."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cells import train_quietly
from scipy.linalg import expm
from sklearn.metrics import adjusted_rand_score

from scgauge import tl
from scgauge.datasets import simulate_longitudinal
from scgauge.model import ODEVI
from scgauge.nn import States
from scgauge.train import SubjectLoader, similar_subjects
from scgauge.train._cell_store import CellStore

SETUP = {"time_key": "time", "subject_key": "subject", "baseline_obsm_key": "baseline"}


def make(n=60, seed=0, **arguments):
    return simulate_longitudinal(n, rng=seed, **arguments)


def fit(adata, *, epochs=150, seed=0, setup=None, plan=None, train=None, **network):
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **(SETUP if setup is None else setup))
    model = ODEVI(adata, **({"gene_likelihood": "normal", "n_hidden": 32} | network))
    arguments = {"max_epochs": epochs, "accelerator": "cpu", "train_size": 1.0, "plan_kwargs": plan} | (train or {})
    return train_quietly(model, **arguments)


def truth(adata, times):
    """True items of each subject at times, ``(n_subjects, n_times, n_items)``."""
    table = adata.uns["scgauge_truth"]["trajectories"]
    first = adata.obs[~adata.obs["subject"].duplicated()]
    parts = []
    for group in first["group"]:
        mine = table[table["group"] == group].set_index("time")[["u1", "u2"]]
        parts.append(mine.loc[np.asarray(times, float)].to_numpy())
    states = np.stack(parts)
    return states[:, :, (adata.var["state"] == "u2").to_numpy().astype(int)] + adata.var["offset"].to_numpy()


@pytest.fixture(scope="module")
def model():
    return fit(make())


def test_trajectories_between_visits_are_near_the_truth(model):
    times = [0.0, 3.0, 6.0, 9.0]
    found = model.predict_state(times=times, kind="rates")
    assert list(found.obs["time"]) == list(np.repeat(times, 60))
    names = model.adata.obs["subject"].astype(str).drop_duplicates().to_list()
    assert list(found.obs["subject"][:60]) == names
    items = found.X.reshape(4, 60, -1).transpose(1, 0, 2)
    expected = truth(model.adata, times)
    error = np.sqrt(np.square(items - expected).mean())
    last = model.adata.X[~model.adata.obs["subject"].duplicated(keep="last").to_numpy()]
    assert error < 0.35  # ridge regression: 0.33 with 100 subjects
    assert error < 0.3 * np.sqrt(np.square(last[:, None] - expected).mean())


def test_states_are_combined_from_all_visits(model):
    """The same by hand: scipy's matrix exponential of the reported system, inverse variances, shared errors."""
    parameters = model.get_ode_parameters().set_index("subject").iloc[4]
    matrix = parameters[["a11", "a12", "a21", "a22"]].to_numpy(float).reshape(2, 2)
    joined = np.zeros((3, 3))
    joined[:2, :2], joined[:2, 2] = matrix, parameters[["c1", "c2"]].to_numpy(float)
    rows = np.flatnonzero(model.adata.obs["subject"].astype(str) == parameters.name)
    mean, variance = model.get_latent_representation(indices=rows, return_dist=True)
    diffusion = model.module.log_diffusion.exp().detach().numpy() / model.module.span
    total, weighted, roots = np.zeros((3, 2))
    for row, centre, spread in zip(rows, mean, variance, strict=True):
        span = 5.0 - model.adata.obs["time"].iloc[row]
        solved = expm(joined * span)
        carried = np.square(solved[:2, :2]) @ spread + diffusion * abs(span)
        total += 1 / carried
        roots += 1 / np.sqrt(carried)
        weighted += (solved[:2, :2] @ centre + solved[:2, 2]) / carried
    found = model.predict_state(times=[5.0], kind="latent")
    mine = found[(found.obs["subject"] == parameters.name).to_numpy()]
    np.testing.assert_allclose(mine.X[0], weighted / total, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mine.obsm["X_odevae_sd"][0], roots / total, rtol=1e-3)


def test_eigenvalues_and_fixed_points_belong_to_the_system(model):
    table = model.get_ode_parameters()
    assert list(table["subject"]) == list(model.adata.obs["subject"].astype(str).drop_duplicates())
    row = table.iloc[0]
    matrix = row[["a11", "a12", "a21", "a22"]].to_numpy(float).reshape(2, 2)
    real = sorted(np.linalg.eigvals(matrix).real)
    np.testing.assert_allclose(sorted([row["eigenvalue_1_real"], row["eigenvalue_2_real"]]), real, rtol=1e-6)
    fixed = row[["fixed_point_1", "fixed_point_2"]].to_numpy(float)
    np.testing.assert_allclose(matrix @ fixed + row[["c1", "c2"]].to_numpy(float), 0, atol=1e-6)


def test_growing_and_shrinking_groups_have_different_eigenvalues(model):
    table = model.get_ode_parameters()
    group = model.adata.obs[~model.adata.obs["subject"].duplicated()]["group"].to_numpy()
    top = table["eigenvalue_1_real"].groupby(group).median()
    assert top["group_1"] > top["group_0"] + 0.1  # truth: 0.2 and -0.2


def test_later_visits_are_not_read_with_previous(model):
    adata = model.adata.copy()
    late = (adata.obs["time"] > 0).to_numpy()
    changed = adata.copy()
    changed.X[late] += 5.0
    kwargs = {"times": [1.0], "kind": "latent", "start": "previous"}
    one, other = (model.predict_state(part, **kwargs).X for part in (adata, changed))
    np.testing.assert_array_equal(one, other)
    all_one, all_other = (model.predict_state(part, times=[1.0], kind="latent").X for part in (adata, changed))
    assert np.abs(all_one - all_other).max() > 1e-3


def test_unseen_subjects_are_served(model):
    other = make(8, seed=5)
    other.obs["subject"] = other.obs["subject"].astype(str).radd("new_").astype("category")
    found = model.predict_state(other, times=[2.0, 4.0], kind="rates")
    assert found.n_obs == 16
    assert found.obs["subject"].str.startswith("new_").all()
    alone = model.predict_state(other[other.obs["subject"] == "new_subject_3"].copy(), times=[2.0], kind="rates")
    same = (found.obs["subject"] == "new_subject_3").to_numpy() & (found.obs["time"] == 2.0).to_numpy()
    np.testing.assert_allclose(alone.X[0], found[same].X[0], rtol=1e-4, atol=1e-5)


def test_bands_cover_new_measurements(model):
    adata = make(60, seed=0, n_visits=2)
    times = [2.0, 4.0, 6.0, 8.0]
    bands = model.get_bands(times=times, observed=True, n_samples=100, rng=0)
    assert list(bands.columns) == ["subject", "time", "item", "mean", "lower", "upper"]
    measured = truth(adata, times) + np.random.default_rng(1).normal(0, 0.1, (60, 4, 10))
    inside = (bands["lower"] <= measured.ravel()) & (measured.ravel() <= bands["upper"])
    assert 0.8 < inside.mean() < 1
    narrow = model.get_bands(times=times, level=0.5, n_samples=100, rng=0)
    assert (narrow["upper"] - narrow["lower"]).mean() < 0.6 * (bands["upper"] - bands["lower"]).mean()
    pd.testing.assert_frame_equal(narrow, model.get_bands(times=times, level=0.5, n_samples=100, rng=0))


def coverage(design, seed, n=100, **network):
    """Shares of new measurements and of noise-free items inside bands of level 0.9, and the error of the latter."""
    adata, times = make(n, seed, design=design), np.arange(1.0, 10.0)
    model = fit(adata, epochs=None, seed=seed, n_hidden=128, **network)
    expected = truth(adata, times)
    measured = expected + np.random.default_rng(seed).normal(0, 0.1, expected.shape)
    shares = []
    for observed, values in ((True, measured), (False, expected)):
        bands = model.get_bands(times=times, observed=observed, n_samples=100, rng=seed)
        shares.append(((bands["lower"] <= values.ravel()) & (values.ravel() <= bands["upper"])).mean())
    found = model.predict_state(times=times, kind="rates").X.reshape(9, n, 10).transpose(1, 0, 2)
    return *shares, np.sqrt(np.square(found - expected).mean())


def test_bands_have_their_level():
    measured, expected, error = coverage("linear-4", 0)
    assert 0.85 < measured < 0.95
    assert 0.8 < expected < 0.99
    assert error < 0.2  # ridge regression: 0.31


@pytest.mark.slow
@pytest.mark.parametrize(("design", "ridge"), [("linear-2", 0.314), ("linear-4", 0.346), ("lotka-volterra", 0.921)])
def test_bands_have_their_level_over_seeds(design, ridge):
    field = {"n": 200, "dynamics": "lotka_volterra"} if design == "lotka-volterra" else {}
    found = np.array([coverage(design, seed, **field) for seed in range(3)])
    assert 0.85 < found[:, 0].mean() < 0.95
    assert (found[:, 2] < ridge).all()


def test_only_the_diffusion_learns_how_far_codes_lie_from_those_carried_to_them(model):
    module = model.module
    rng = torch.Generator().manual_seed(0)
    codes, carried = (
        States(torch.randn(n, 2, generator=rng).requires_grad_(), torch.rand(n, 2, generator=rng)) for n in (4, 2)
    )
    target, source, time = torch.tensor([0, 3]), torch.tensor([1, 2]), torch.tensor([0.0, 0.5, 0.2, 1.0])
    loss = module._diffusion_loss(codes, carried, target, source, time)
    span = torch.tensor([[0.5], [0.8]])
    variance = carried.variance + codes.variance[target] + module.log_diffusion.exp() * span
    density = torch.distributions.Normal(carried.mean, variance.sqrt()).log_prob(codes.mean[target])
    torch.testing.assert_close(loss, -(density + 0.5 * np.log(2 * np.pi)).sum(-1).mean())
    (slope,) = torch.autograd.grad(loss, [module.log_diffusion], retain_graph=True)
    assert (slope != 0).all()
    assert torch.autograd.grad(loss, [codes.mean, carried.mean], allow_unused=True) == (None, None)


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "m", save_anndata=True)
    again = ODEVI.load(tmp_path / "m")
    one, other = (part.predict_state(times=[3.0], kind="rates").X for part in (model, again))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_unit_of_time_does_not_matter(model):
    adata = make()
    adata.obs["time"] *= 24
    hours = fit(adata)
    one, other = (m.predict_state(times=[5.0 * u], kind="rates").X for m, u in ((model, 1), (hours, 24)))
    np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)
    ratio = model.get_ode_parameters()["a11"] / hours.get_ode_parameters()["a11"]
    np.testing.assert_allclose(ratio, 24, rtol=5e-2)


def test_missing_items_are_masked():
    adata = make(20)
    adata.X[np.random.default_rng(0).random(adata.shape) < 0.2] = np.nan
    model = fit(adata, epochs=3)
    x = torch.as_tensor(adata.X[:4])
    px = model.module.generative(torch.zeros(4, 2), torch.zeros(4, 1), torch.zeros(4, 1))["px"]
    density = torch.distributions.Normal(px.loc, px.scale).log_prob(x.nan_to_num(0.0))
    torch.testing.assert_close(px.log_likelihood(x), torch.where(x.isnan(), 0.0, density).sum(-1))
    assert np.isfinite(model.predict_state(times=[1.0], kind="counts", rng=0).X).all()
    assert all(parameter.isfinite().all() for parameter in model.module.parameters())


def test_other_fields_likelihoods_and_repeated_visits():
    adata = make(12, n_visits=4)
    adata.X = np.random.default_rng(0).poisson(np.exp(np.clip(adata.X, -2, 2))).astype("float32") + 1
    model = fit(adata, epochs=3, gene_likelihood="nb", dynamics="neural")
    found = model.predict_state(times=[1.0, 2.0], rng=0)
    assert (found.X.toarray() == np.rint(found.X.toarray())).all()
    assert list(model.get_ode_parameters().columns[:3]) == ["subject", "time", "speed"]
    assert model.get_velocity().shape == (48, 2)
    assert model.get_trajectories(times=[1.0, 2.0, 3.0], n_samples=5, rng=0).shape == (5, 12, 3, 2)
    tl.trajectory(adata, model, n_cells=5, rng=0)
    assert adata.uns["trajectory"]["paths"].shape == (5, 41, 2)


def test_sets_are_sets_of_subjects():
    adata = make(20)
    model = fit(adata, epochs=1, train={"train_size": 0.7})
    subject = adata.obs["subject"].astype(str).to_numpy()
    train, validation = (set(subject[index]) for index in (model.train_indices, model.validation_indices))
    assert len(train) == 14
    assert len(validation) == 6
    assert not train & validation
    split = [np.arange(39), np.array([39]), np.array([], dtype=int)]
    with pytest.raises(ValueError, match="divides the visits of 1 subjects"):
        fit(adata, epochs=1, train={"datasplitter_kwargs": {"external_indexing": split}})


def test_similar_subjects_by_hand(model):
    near = model.get_similar_subjects(n_similar=3)
    assert near.groupby("subject").size().eq(3).all()
    assert (near["subject"] != near["similar"]).all()
    paths = model.get_trajectories(times=np.linspace(0, model.training_times[-1], 11)[1:])
    centred = paths - paths.mean(1, keepdims=True)
    names = model.adata.obs["subject"].astype(str).drop_duplicates().to_list()
    first = near.iloc[0]
    difference = centred[names.index(first["subject"])] - centred[names.index(first["similar"])]
    assert first["distance"] == pytest.approx(np.sqrt(np.square(difference).sum(1).mean()))
    loader = SubjectLoader(CellStore(model.adata_manager), np.arange(120), batch_size=8)
    positions, weights = similar_subjects(model.module, loader, n_similar=4)
    assert (positions[:, 0] == np.arange(60)).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (np.diff(weights, axis=1) <= 1e-12).all()


def test_groups_of_individuals(model):
    found = model.get_trajectory_groups(n_groups=2, rng=0)
    first = model.adata.obs[~model.adata.obs["subject"].duplicated()]
    assert list(found.index) == list(first["subject"].astype(str))
    assert adjusted_rand_score(first["group"], found["group"]) > 0.9


def test_individuals_have_no_time_to_hold_out(model):
    adata = make()
    with pytest.raises(ValueError, match="one of individuals"):
        tl.held_out_time(adata, model, times=[float(adata.obs["time"].max())])


def test_batches_of_similar_subjects_are_of_one_group():
    adata = make(40, design="linear-4", baseline="parameters", n_informative=20)
    model = fit(adata, epochs=4, plan={"n_similar": 6})
    assert len(model.history["train_loss"]) == 4
    group = adata.obs[~adata.obs["subject"].duplicated()]["group"].astype(str).to_numpy()
    names = adata.obs["subject"].astype(str).drop_duplicates().to_list()
    near = model.get_similar_subjects(n_similar=5)
    place = [[names.index(name) for name in near[column]] for column in ("subject", "similar")]
    assert (group[place[0]] == group[place[1]]).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda a: _set(a, 3, 99.0), ValueError, "changes within the subject 'subject_1'"),
        (lambda a: _set(a, 2, np.nan), ValueError, "missing or not finite, for example of 'subject_1'"),
        (lambda a: a.obs.__setitem__("time", 1.0 * (np.arange(40) % 2 == 5)), ValueError, "one time only"),
        (
            lambda a: a.obs.__setitem__("time", np.repeat(np.arange(20) + 1.0, 2)),
            ValueError,
            "several rows at the time",
        ),
        (lambda a: a.obs.__setitem__("subject", a.obs_names), ValueError, "No subject"),
    ],
)
def test_bad_visits(change, error, match):
    adata = make(20)
    change(adata)
    before = list(adata.obs.columns)
    with pytest.raises(error, match=match):
        ODEVI.setup_anndata(adata, **SETUP)
    assert list(adata.obs.columns) == before
    assert not any(key.startswith("_scvi") for key in adata.uns)


def _set(adata, row, value):
    adata.obsm["baseline"].iloc[row, 0] = value


def test_bad_numbers_and_arguments(model):
    adata = make(20)
    adata.X[4] = np.nan
    ODEVI.setup_anndata(adata, **SETUP)
    with pytest.raises(ValueError, match="Nothing was measured"):
        ODEVI(adata, gene_likelihood="normal")
    with pytest.raises(ValueError, match="n_cells=3"):
        model.predict_state(times=[1.0], n_cells=3)
    with pytest.raises(ValueError, match="level=2"):
        model.get_bands(times=[1.0], level=2)
    with pytest.raises(ValueError, match="n_similar=60"):
        model.get_similar_subjects(n_similar=60)
    with pytest.raises(ValueError, match="n_similar=1"):
        fit(make(20), epochs=1, plan={"n_similar": 1})
    with pytest.warns(UserWarning, match="outside of the training times"):
        model.get_trajectories(times=[30.0], indices=[0])


def test_a_subject_with_one_visit_warns():
    adata = make(20)[1:].copy()
    with pytest.warns(UserWarning, match="1 of 20 subjects have one visit, for example 'subject_0'"):
        ODEVI.setup_anndata(adata, **SETUP)
    model = train_quietly(ODEVI(adata, gene_likelihood="normal"), max_epochs=1, accelerator="cpu")
    assert model.predict_state(times=[1.0], kind="latent").n_obs == 20


def test_the_noise_is_what_draws_of_the_codes_leave(model):
    mean, variance = model.get_latent_representation(return_dist=True)
    rng, squares = np.random.default_rng(0), []
    for _ in range(50):
        z = torch.as_tensor(mean + np.sqrt(variance) * rng.normal(size=mean.shape), dtype=torch.float32)
        none = torch.zeros(len(z), 1)
        with torch.no_grad():
            squares.append(np.square(model.module.generative(z, none, none)["px"].loc.numpy() - model.adata.X))
    np.testing.assert_allclose(model.module.px_r.exp().detach(), np.sqrt(np.mean(squares, (0, 1))), rtol=0.15)
