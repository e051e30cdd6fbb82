import numpy as np
import pytest
from anndata import AnnData
from cells import fit, make_cells
from scipy.stats import kstest

import scgauge
from scgauge.metrics import conditional_association, homogeneous_association
from scgauge.model import CountVI


def toy(seed, n=3680):
    """Three types in two latent dimensions; genes 0-4 show the first, 5-9 the second, 20 genes are noise."""
    rng = np.random.default_rng(seed)
    centres = np.array([(2, 2)] * 2 + [(-2, 2), (2, -2)])[rng.integers(0, 4, n)]
    z = centres + rng.normal(size=(n, 2))
    signal = np.repeat(z, 5, axis=1) + rng.normal(size=(n, 10)) > 0
    x = np.column_stack([signal, rng.random((n, 20)) < 0.5])
    return AnnData(x.astype(np.float32), obsm={"X_latent": z})


def test_genes_of_the_latent_space_come_first():
    found = []
    for seed in range(10):
        table = scgauge.tl.log_linear_patterns(toy(seed), n_genes=8, alpha=None, quantile=0, progress=False)
        found.append((table["gene"].astype(int) < 10).mean())
        first = table.iloc[:2]
        assert set(first["latent"]) == {"Z_0", "Z_1"}
        assert (first["gene"].astype(int) // 5 == first["latent"].str[2:].astype(int)).all()
    assert np.mean(found) >= 0.95


def test_all_genes_of_the_latent_space_come_before_noise_with_enough_draws():
    # 12 genes make up to 4096 strata: with 3680 draws the search rightly ends after 8 genes.
    found = []
    for seed in range(10):
        table = scgauge.tl.log_linear_patterns(toy(seed, 20_000), n_genes=12, alpha=None, quantile=0, progress=False)
        found.append((table["gene"].astype(int) < 10).sum() / 10)
    assert np.mean(found) >= 0.95


def test_rows_are_the_largest_association_given_the_genes_before():
    pairs = toy(0)
    table = scgauge.tl.log_linear_patterns(pairs, n_genes=4, quantile=0, progress=False)
    assert table["step"].tolist() == [1, 2, 3, 4]
    x, z = pairs.X, pairs.obsm["X_latent"] > 0
    strata = np.zeros(pairs.n_obs, dtype=int)
    taken = []
    for row in table.itertuples():
        found = conditional_association(x, z, strata=strata)
        left = np.setdiff1d(np.arange(30), taken)
        np.testing.assert_allclose(row.g2, found.g2[left].max(), rtol=1e-10)  # sums in another order
        assert row.g2 == pytest.approx(found.g2[int(row.gene), int(row.latent[2:])], rel=1e-10)
        np.testing.assert_allclose(row.cmi, row.g2 / (2 * pairs.n_obs))
        strata = 2 * strata + x[:, int(row.gene)].astype(int)
        taken.append(int(row.gene))


@pytest.mark.parametrize("seed", range(5))
def test_noise_stops_at_once(seed):
    rng = np.random.default_rng(seed)
    pairs = AnnData(rng.integers(0, 2, (2000, 20)).astype("f4"), obsm={"X_latent": rng.normal(size=(2000, 3))})
    table = scgauge.tl.log_linear_patterns(pairs, quantile=0, alpha=0.001, progress=False)
    assert len(table) == 0


def test_permutations_take_the_choice_into_account():
    pairs = toy(0, n=600)
    options = {"quantile": 0, "n_permutations": 19, "rng": 0, "progress": False}
    table = scgauge.tl.log_linear_patterns(pairs, n_genes=2, **options)
    assert table["p_permutation"].tolist() == [0.05, 0.05]
    # Without signal the p-value of the largest statistic is uniform over 0.05, 0.1, ..., 1.
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        noise = AnnData(rng.integers(0, 2, (200, 10)).astype("f4"), obsm={"X_latent": rng.normal(size=(200, 2))})
        table = scgauge.tl.log_linear_patterns(noise, n_genes=1, alpha=None, **options)
        found.append(table["p_permutation"][0])
    assert kstest(np.array(found) - 0.025, "uniform").pvalue > 0.01


def test_homogeneous_association_as_an_option():
    pairs = toy(1, n=800)
    table = scgauge.tl.log_linear_patterns(pairs, n_genes=3, quantile=0, test="homogeneous", progress=False)
    assert table["df"].tolist() == [1, 1, 1]
    taken = [int(gene) for gene in table["gene"]]
    found = homogeneous_association(pairs.X, pairs.obsm["X_latent"] > 0, given=pairs.X[:, taken[:2]])
    left = np.setdiff1d(np.arange(30), taken[:2])
    np.testing.assert_allclose(table["g2"][2], found.g2[left].max(), rtol=1e-6)


def test_few_cells_allow_few_genes():
    table = scgauge.tl.log_linear_patterns(toy(0, n=90), quantile=0, alpha=None, progress=False)
    assert len(table) == 3  # 20 cells in each of 2^2 strata


def test_a_model_draws_fresh_cells_and_takes_thresholds_from_training_cells():
    model = fit(CountVI, make_cells())
    table = scgauge.tl.log_linear_patterns(model, n_genes=3, n_samples=500, alpha=None, rng=0, progress=False)
    assert len(table) == 3
    assert table["gene"].is_unique
    again = scgauge.tl.log_linear_patterns(model, n_genes=3, n_samples=500, alpha=None, rng=0, progress=False)
    assert table.equals(again)
    cells = scgauge.tl.sample(model, 500, rng=np.random.default_rng(0), progress=False)
    training = model.adata.X[np.sort(model.train_indices_)].toarray()
    expected = conditional_association(
        cells.X.toarray() > np.quantile(training, 0.5, axis=0), cells.obsm["X_latent"] > 0
    )
    np.testing.assert_allclose(table["g2"][0], expected.g2.max(), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_genes": 0}, "n_genes=0"),
        ({"quantile": 1.0}, r"quantile=1\.0"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"test": "exact"}, "test='exact'"),
        ({"n_permutations": -1}, "n_permutations=-1"),
    ],
)
def test_bad_numbers(arguments, match):
    with pytest.raises(ValueError, match=match):
        scgauge.tl.log_linear_patterns(toy(0, 50), **arguments)


def test_bad_source():
    with pytest.raises(KeyError, match="X_latent"):
        scgauge.tl.log_linear_patterns(make_cells())
    with pytest.raises(TypeError, match="cannot be read"):
        scgauge.tl.log_linear_patterns({})
    with pytest.raises(ValueError, match="10 cells are too few"):
        scgauge.tl.log_linear_patterns(toy(0, 10))
