import numpy as np
import pytest
import scvi
import torch
from cells import fit, make_cells, train_quietly

import scgauge
from scgauge._core.adapter import adapt
from scgauge._core.rng import seeded
from scgauge.model import CountVI
from scgauge.tl._data_covariance import DataCovariance


@pytest.fixture(scope="module")
def countvi():
    return fit(CountVI, make_cells(), epochs=8)


@pytest.fixture(scope="module")
def scanvi():
    setup = {"labels_key": "type", "unlabeled_category": "unknown", "batch_key": "batch"}
    adata = make_cells()
    with seeded(0):
        scvi.model.SCANVI.setup_anndata(adata, **setup)
        model = scvi.model.SCANVI(adata, n_latent=3, n_hidden=16)
        return train_quietly(model, max_epochs=20, batch_size=32, plan_kwargs={"lr": 0.01})


def dream(model, adata=None, **arguments):
    adata = make_cells() if adata is None else adata
    return scgauge.tl.dream(adata, model, **{"rng": 0, "progress": False} | arguments)


@pytest.mark.parametrize("n_directions", [3, 99])
def test_covariance_equals_the_matrix(n_directions):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 8)) @ rng.normal(size=(8, 8))
    found = DataCovariance.of(points, n_directions, rng)
    matrix = found.directions.T @ np.diag(found.variances) @ found.directions + np.diag(found.rest)
    np.testing.assert_allclose(np.diag(matrix), points.var(0, ddof=1), rtol=1e-4)
    if n_directions == 99:
        np.testing.assert_allclose(matrix, np.cov(points.T), rtol=1e-4, atol=1e-4)
    vector = rng.normal(size=8)
    np.testing.assert_allclose(found.times(vector), matrix @ vector, rtol=1e-9)
    np.testing.assert_allclose(found.solve(vector), np.linalg.solve(matrix, vector), rtol=1e-6)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_linear_output_rises_by_as_many_deviations_as_the_penalty_says(direction):
    adata = make_cells("normal")
    model = fit(CountVI, adata.copy(), gene_likelihood="normal")
    weights = np.random.default_rng(1).normal(size=20)
    by = torch.as_tensor(weights, dtype=torch.float32)

    def output(x):
        return x @ by

    path = dream(model, adata, target=output, direction=direction, penalty=0.5, n_directions=99, tolerance=1e-9)
    sign = 1 if direction == "up" else -1
    sd = (adata.X @ weights).std()
    moved = np.cov(adata.X.T) @ weights * sign / (0.5 * sd)
    np.testing.assert_allclose(path.X[-1] - path.X[0], moved, rtol=0.01, atol=0.01)
    rise = (path.obs["output"].iloc[-1] - path.obs["output"].iloc[0]) / sd
    np.testing.assert_allclose(rise, sign * 2, rtol=0.02)
    np.testing.assert_allclose(path.obs["distance"].iloc[-1], 2, rtol=0.02)
    np.testing.assert_allclose(path.X[0], adata.X.mean(0), rtol=1e-5)


def test_steps_climb_and_expression_stays_non_negative(countvi):
    path = dream(countvi, target=1, start="cell_7")
    assert (path.obs["objective"].diff().dropna() > 0).all()
    assert (path.X >= 0).all()
    np.testing.assert_allclose(path.X[0], make_cells().X.toarray()[7], atol=1e-4)
    z = countvi.get_latent_representation(make_cells())
    np.testing.assert_allclose(path.obs["output"].iloc[0], z[7, 1], atol=1e-5)
    np.testing.assert_allclose(path.uns["dream"]["output_sd"], z[:, 1].std(), rtol=1e-4)
    # The last profile, read by the model itself.
    last = countvi.module.z_encoder(torch.log1p(torch.as_tensor(path.X[-1:]))).loc
    np.testing.assert_allclose(last[0, 1].item(), path.obs["output"].iloc[-1], atol=1e-4)


def test_a_smaller_penalty_goes_farther(countvi):
    ends = [dream(countvi, target=0, penalty=penalty).obs.iloc[-1] for penalty in (1.0, 0.3)]
    assert ends[1]["distance"] > ends[0]["distance"]
    assert ends[1]["output"] > ends[0]["output"]


def test_a_cell_becomes_another_type(scanvi):
    adata = make_cells()
    predicted = np.asarray(scanvi.predict(adata))
    names = ["alpha", "beta/gamma", "delta"]
    for other in set(predicted):
        wanted = names[names.index(other) - 1]
        start = adata.obs_names[np.flatnonzero(predicted == other)[0]]
        path = dream(scanvi, target={"class": wanted}, start=start, penalty=0.1)
        assert path.obs["predicted"].iloc[0] == other
        assert path.obs["predicted"].iloc[-1] == wanted
        assert path.obs["output"].iloc[0] < 0 < path.obs["output"].iloc[-1]  # log odds
        batch = torch.as_tensor([[int(adata.obs.loc[start, "batch"] == "b2")]])
        probabilities = scanvi.module.classify(torch.as_tensor(path.X[-1:]), batch_index=batch)
        assert names[int(probabilities.argmax())] == wanted


def test_log_odds_are_those_of_the_classifier(scanvi):
    path = dream(scanvi, target={"class": "alpha"}, start="cell_3", n_steps=1)
    odds = scanvi.predict(make_cells(), soft=True)["alpha"].iloc[3]
    np.testing.assert_allclose(path.obs["output"].iloc[0], np.log(odds / (1 - odds)), rtol=1e-3, atol=1e-3)


def test_mean_profile_at_the_median_library(countvi):
    adata = make_cells()
    counts = adata.X.toarray()
    start = dream(countvi, target=0, n_steps=1).X[0]
    np.testing.assert_allclose(start / start.sum(), counts.sum(0) / counts.sum(), rtol=1e-4)
    np.testing.assert_allclose(start.sum(), np.sort(counts.sum(1))[60], rtol=1e-4)
    assert adapt(countvi).genes.tolist() == adata.var_names.tolist()


def test_binary_profiles_stay_between_0_and_1():
    adata = make_cells("bernoulli")
    model = fit(CountVI, adata.copy(), gene_likelihood="bernoulli")
    path = dream(model, adata, target=0, penalty=0.05)
    assert path.X.min() >= 0
    assert path.X.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"target": 0, "start": "no"}, KeyError, "start='no'"),
        ({"target": [0, 1]}, ValueError, "2 outputs"),
        ({"target": 0, "penalty": 0}, ValueError, "penalty=0"),
        ({"target": 0, "direction": "left"}, ValueError, "direction='left'"),
        ({"target": {"class": "alpha"}}, TypeError, "no classifier"),
        ({"target": lambda x: 0 * x[:, 0]}, ValueError, "same for all cells"),
    ],
)
def test_bad_input(countvi, arguments, error, match):
    adata = make_cells()
    with pytest.raises(error, match=match):
        dream(countvi, adata, **arguments)
    assert not adata.uns


def test_two_cells_have_no_scale(countvi):
    with pytest.raises(ValueError, match="at least three"):
        dream(countvi, make_cells()[:2].copy(), target=0)
