import numpy as np
import pytest

from scgauge.datasets import simulate_counts

pytestmark = pytest.mark.quick


def _mean(adata) -> np.ndarray:
    effects = adata.varm["batch_effects"][:, adata.obs["batch"].cat.codes]
    log_rate = adata.var["base"].to_numpy() + adata.obsm["latent"] @ adata.varm["loadings"].T + effects.T
    share = np.exp(log_rate)
    return adata.obs["library_size"].to_numpy()[:, None] * share / share.sum(1, keepdims=True)


@pytest.mark.parametrize("loadings", ["sparse", "orthogonal"])
@pytest.mark.parametrize("dispersion", [5.0, np.inf], ids=["overdispersed", "Poisson"])
def test_counts_have_the_mean_and_variance_of_the_truth(loadings, dispersion):
    standardised, squared = [], []
    for seed in range(5):
        adata = simulate_counts(800, 30, loadings=loadings, dispersion=dispersion, n_batches=2, rng=seed)
        mean = _mean(adata)
        variance = mean + mean**2 / adata.var["dispersion"].to_numpy()
        residual = (adata.X.toarray() - mean) / np.sqrt(variance)
        standardised.append(residual.mean())
        squared.append((residual**2).mean())
    n_values = 5 * 800 * 30
    assert abs(np.mean(standardised)) < 5 / np.sqrt(n_values)
    assert np.mean(squared) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("n_latent", [1, 3, 6])
def test_latents_are_standard_and_loadings_centred_with_falling_norms(n_latent):
    for kind in ("sparse", "orthogonal"):
        adata = simulate_counts(300, 40, n_latent=n_latent, loadings=kind, rng=1)
        z, weights = adata.obsm["latent"], adata.varm["loadings"]
        np.testing.assert_allclose(z.T @ z / 300, np.eye(n_latent), atol=1e-10)
        np.testing.assert_allclose(weights.mean(0), 0, atol=1e-12)
        norms = np.linalg.norm(weights, axis=0)
        assert (np.diff(norms) < 0).all()
    gram = weights.T @ weights
    np.testing.assert_allclose(gram, np.diag(norms**2), atol=1e-9)


def test_sparse_loadings_follow_one_factor_each():
    weights = simulate_counts(100, 60, loadings="sparse", rng=0).varm["loadings"]
    largest = np.sort(np.abs(weights), axis=1)
    # Centring leaves a small constant in the other columns.
    assert (largest[:, -1] > 2 * largest[:, -2]).mean() > 0.9


def test_same_seed_same_cells_and_no_global_state():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (simulate_counts(50, 20, rng=seed) for seed in (3, 3, 4))
    assert (one.X != two.X).nnz == 0
    assert (one.X != other.X).nnz > 0
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_blocks_do_not_change_the_cells(monkeypatch):
    expected = simulate_counts(100, 20, rng=3).X.toarray()
    monkeypatch.setattr("scgauge.datasets._simulate_counts._CELLS_AT_ONCE", 7)
    np.testing.assert_array_equal(simulate_counts(100, 20, rng=3).X.toarray(), expected)


def test_truth_is_complete():
    adata = simulate_counts(200, 30, n_groups=3, n_batches=2, batch_effect=0.7, rng=0)
    assert adata.obs["group"].nunique() == 3
    assert adata.obs["batch"].nunique() == 2
    assert not adata.varm["batch_effects"][:, 0].any()
    assert adata.varm["batch_effects"][:, 1].std() == pytest.approx(0.7, rel=0.5)
    centres = adata.uns["scgauge_truth"]["centres"]
    own = adata.obsm["latent"][adata.obs["group"] == "group_1"].mean(0)
    np.testing.assert_allclose(centres.set_index("group").loc["group_1"].to_numpy(dtype=float), own)
    assert adata.uns["scgauge_truth"]["params"]["batch_effect"] == 0.7


def test_each_group_and_batch_has_a_cell_and_the_order_of_its_number():
    for seed in range(20):
        adata = simulate_counts(12, 6, n_groups=11, n_batches=12, rng=seed)
        assert adata.obs["group"].nunique() == 11
        assert list(adata.obs["batch"].cat.categories) == [f"batch_{index}" for index in range(12)]
        assert adata.obs["batch"].value_counts().tolist() == [1] * 12
        assert np.isfinite(adata.uns["scgauge_truth"]["centres"].iloc[:, 1:].to_numpy(dtype=float)).all()


def test_shares_of_groups_fall_and_those_of_batches_are_equal():
    obs = simulate_counts(20000, 6, n_groups=2, n_batches=2, rng=0).obs
    # The standard error of a share of 20,000 cells is 0.0035.
    assert (obs["group"] == "group_0").mean() == pytest.approx(0.5858, abs=0.018)
    assert (obs["batch"] == "batch_0").mean() == pytest.approx(0.5, abs=0.018)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_obs": 0}, "n_obs=0 was given"),
        ({"n_vars": 4}, "n_vars=4 was given; 5 factors need at least 6"),
        ({"n_obs": 3, "n_latent": 1}, "n_obs=3 was given for 4 groups"),
        ({"n_obs": 8, "n_batches": 9}, "n_obs=8 was given for 9 batches"),
        ({"loadings": "dense"}, "loadings='dense' was given"),
        ({"library_size": 0}, "library_size=0 was given"),
        ({"dispersion": -1}, "dispersion=-1 was given"),
        ({"batch_effect": -1}, "batch_effect=-1 was given"),
        ({"n_groups": 2.5}, "n_groups=2.5 was given"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_counts(**arguments)
