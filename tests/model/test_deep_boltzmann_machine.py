"""Small machines against the enumeration of all their states."""

from itertools import product

import cells as simulated
import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData

import scgauge
from scgauge.model import DeepBoltzmannMachine
from scgauge.module import BoltzmannModule


def binary(n_obs=60, n_vars=5, seed=0):
    x = (np.random.default_rng(seed).random((n_obs, n_vars)) < 0.4).astype(np.float32)
    adata = AnnData(x)
    adata.obs_names = [f"cell_{index}" for index in range(n_obs)]
    return adata


@pytest.fixture(scope="module")
def small():
    """A machine of 12 units with strong weights."""
    adata = binary()
    scvi.settings.seed = 0
    DeepBoltzmannMachine.setup_anndata(adata)
    model = DeepBoltzmannMachine(adata, n_hidden=(4, 3), n_gibbs_steps=100)
    model.train(max_epochs=1, enable_progress_bar=False)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            scale = 1.2 if name.startswith("weight") else 0.5
            parameter.copy_(torch.from_numpy(rng.normal(scale=scale, size=parameter.shape)))
    return model


@pytest.fixture(scope="module")
def states(small):
    """All states, the log of their unnormalised probability, and log Z."""
    names = ("weight1", "weight2", "bias_v", "bias1", "bias2")
    w1, w2, b_v, b1, b2 = (getattr(small.module, name).detach().double().numpy() for name in names)
    every = np.array(list(product((0, 1), repeat=12)), dtype=float)
    v, h1, h2 = every[:, :5], every[:, 5:9], every[:, 9:]
    minus_energy = ((v @ w1) * h1).sum(1) + ((h1 @ w2) * h2).sum(1) + v @ b_v + h1 @ b1 + h2 @ b2
    return every, minus_energy, np.logaddexp.reduce(minus_energy)


def test_gibbs_marginals_are_those_of_the_enumeration(small, states):
    every, minus_energy, log_z = states
    p = np.exp(minus_energy - log_z)
    drawn = scgauge.tl.sample(small, 8000, rng=0, progress=False)
    found = np.column_stack((drawn.X.toarray(), drawn.obsm["X_latent"]))
    expected = p @ every[:, :9]
    error = np.sqrt(expected * (1 - expected) / len(found))
    assert (np.abs(found.mean(0) - expected) < 5 * error).all()
    pairs = (every[:, :9] * p[:, None]).T @ every[:, :9]
    error = np.sqrt(pairs * (1 - pairs) / len(found))
    assert (np.abs(found.T @ found / len(found) - pairs) < 5 * error + 1e-12).all()


def test_chains_of_torch_have_the_same_law(small, states):
    every, minus_energy, log_z = states
    expected = np.exp(minus_energy - log_z) @ every
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        start = torch.bernoulli(torch.full((8000, 8), 0.5))
        v, h1, h2 = small.module.gibbs(start[:, :5], start[:, 5:], 100)
    # h1 was drawn before v and h2, which changes no marginal of a chain in equilibrium
    found = torch.cat((v, h1, h2), dim=1).double().numpy().mean(0)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 8000)).all()


def test_annealed_importance_sampling_is_right_within_its_error(small, states):
    log_z = states[2]
    scaled = []
    for seed in range(10):
        scvi.settings.seed = seed
        found = small.get_log_partition(n_chains=100, n_temperatures=200)
        assert abs(found["log_z"] - log_z) < 5 * found["se"]
        assert found["se"] < 0.1
        scaled.append((found["log_z"] - log_z) / found["se"])
    # the error is an error, neither far too large nor too small: its own scale is 1
    assert 0.4 < np.std(scaled) < 2


def test_the_bound_is_below_and_near_the_likelihood(small, states):
    every, minus_energy, log_z = states
    small.log_partition_ = float(log_z)
    bounds = small.get_log_likelihood(per_cell=True)
    for row in range(20):
        v = small.adata.X[row]
        same = (every[:, :5] == v).all(1)
        exact = np.logaddexp.reduce(minus_energy[same]) - log_z
        assert bounds[row] <= exact + 1e-5
        assert bounds[row] > exact - 1.5
    assert small.get_log_likelihood() == pytest.approx(bounds.mean())


def test_mean_field_solves_its_equations(small):
    x = torch.from_numpy(small.adata.X[:20])
    mu1, mu2 = small.module.mean_field(x, tolerance=1e-7)
    torch.testing.assert_close(mu1, small.module.probability1(x, mu2), atol=1e-5, rtol=0)
    torch.testing.assert_close(mu2, small.module.probability2(mu1), atol=1e-5, rtol=0)
    np.testing.assert_allclose(small.get_latent_representation(indices=range(20)), mu1.detach(), atol=2e-3)
    assert small.get_latent_representation(layer=2).shape == (60, 3)


def test_the_step_follows_the_exact_gradient():
    """With free hidden layers (second weights zero) mean field is exact, and chains in equilibrium give the model."""
    from scgauge.train import BoltzmannPlan

    torch.random.manual_seed(0)
    module = BoltzmannModule(4, n_hidden=(3, 2), n_particles=40_000)
    with torch.no_grad():
        module.weight1.normal_()
        module.weight2.zero_()
        module.particles_v.bernoulli_(0.5)
    x = torch.bernoulli(torch.full((6, 4), 0.5))
    states = torch.tensor(list(product((0.0, 1.0), repeat=4)))

    def log_free(v):
        return v @ module.bias_v + torch.nn.functional.softplus(v @ module.weight1 + module.bias1).sum(1)

    likelihood = (log_free(x) - torch.logsumexp(log_free(states), 0)).mean()
    expected = torch.autograd.grad(likelihood, [module.weight1, module.bias_v, module.bias1])
    plan = BoltzmannPlan(module, n_gibbs_steps=50)
    with torch.no_grad():
        found = plan._joint(x)
    for name, gradient in zip(("weight1", "bias_v", "bias1"), expected, strict=True):
        # 40,000 chains: standard errors of at most 0.0025
        torch.testing.assert_close(found[name], gradient, atol=0.0125, rtol=0)


@pytest.fixture(scope="module")
def blocks():
    adata = scgauge.datasets.simulate_binary_blocks(1000, 20, rng=0)
    scvi.settings.seed = 0
    DeepBoltzmannMachine.setup_anndata(adata)
    model = DeepBoltzmannMachine(adata, n_hidden=(10, 4))
    model.train(max_epochs=40, batch_size=32, enable_progress_bar=False, plan_kwargs={"lr": 0.3, "pretrain_lr": 0.3})
    return model


def test_blocks_are_found(blocks):
    drawn = scgauge.tl.sample(blocks, 10_000, rng=0, progress=False)
    log_odds = scgauge.metrics.log_odds_ratio(drawn.X).log_odds
    block = blocks.adata.var["block"].astype(str).to_numpy()
    informative = (block != "noise")[:, None] & (block != "noise")[None, :]
    same = block[:, None] == block[None, :]
    upper = np.triu(np.ones_like(log_odds, dtype=bool), 1)
    assert log_odds[informative & same & upper].mean() > 0.3  # truth 0.53
    assert log_odds[informative & ~same & upper].mean() < -0.35  # truth -0.63
    assert abs(log_odds[~informative & upper].mean()) < 0.1  # truth 0
    found, seen = (np.asarray(cells.X.mean(0)).ravel() for cells in (drawn, blocks.adata))
    # the last minibatches of 32 cells leave biases with a spread of some hundredths
    np.testing.assert_allclose(found, seen, atol=0.06)


def test_training_raises_the_likelihood(blocks):
    scvi.settings.seed = 0
    trained = blocks.get_log_likelihood(indices=blocks.validation_indices_)
    mean = np.clip(np.asarray(blocks.adata[blocks.train_indices_].X.mean(0)).ravel(), 1e-3, 1 - 1e-3)
    x = blocks.adata[blocks.validation_indices_].X.toarray()
    independent = (x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(1).mean()
    assert trained > independent
    history = blocks.history["reconstruction_loss_train"].iloc[:, 0].astype(float)
    assert history.iloc[-1] < history.iloc[0]


def test_samples_go_through_the_scoreboard_and_signatures(blocks):
    drawn = scgauge.tl.sample(blocks, 400, rng=0, progress=False)
    scgauge.tl.synthetic_quality(blocks.adata, drawn, model=blocks, n_splits=2, rng=0, progress=False)
    assert drawn.uns["synthetic_quality"]["params"]["kind"] == "binary"
    twins = scgauge.tl.sample(blocks, source="posterior", rng=0, progress=False)
    assert set(np.unique(twins.obsm["X_latent"])) <= {0, 1}
    adata = blocks.adata.copy()
    scgauge.tl.signatures(adata, blocks, cutoff=1.5)
    assert adata.varm["signatures"].shape == (20, 10)
    with pytest.raises(TypeError, match="no encoder network"):
        scgauge.tl.attribute(adata, blocks, progress=False)


def test_saved_models_come_back(small, tmp_path):
    small.save(str(tmp_path / "model"))
    again = DeepBoltzmannMachine.load(str(tmp_path / "model"), adata=small.adata)
    drawn = [scgauge.tl.sample(model, 10, rng=0, progress=False).X.toarray() for model in (small, again)]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_hidden": (4,)}, "two integers"),
        ({"n_hidden": (4, 0)}, "two integers"),
        ({"n_particles": 0}, "n_particles=0"),
        ({"n_gibbs_steps": 0}, "n_gibbs_steps=0"),
    ],
)
def test_bad_arguments(arguments, match):
    adata = binary()
    DeepBoltzmannMachine.setup_anndata(adata)
    with pytest.raises(ValueError, match=match):
        DeepBoltzmannMachine(adata, **arguments)


def test_bad_data_and_calls(small):
    adata = simulated.make_cells("counts")
    DeepBoltzmannMachine.setup_anndata(adata)
    with pytest.raises(ValueError, match="only 0 and 1"):
        DeepBoltzmannMachine(adata)
    with pytest.raises(ValueError, match="layer=3"):
        small.get_latent_representation(layer=3)
    with pytest.raises(ValueError, match="n_chains=1"):
        small.get_log_partition(n_chains=1)
