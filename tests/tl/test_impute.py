import anndata as ad
import numpy as np
import pytest
import scvi
from cells import fit, make_cells, train_quietly
from scipy import sparse, stats

import scgauge
from scgauge._core.adapter import adapt
from scgauge._core.draws import LikelihoodSampler
from scgauge.model import CountVI
from scgauge.tl._impute import likelihood_moments


@pytest.fixture(scope="module")
def model():
    adata = scgauge.datasets.simulate_counts(
        400, 30, n_latent=2, n_groups=3, library_size=300, dispersion=np.inf, rng=0
    )
    return trained(adata, 0)


def trained(adata, seed, epochs=80):
    scvi.settings.seed = seed
    CountVI.setup_anndata(adata)
    model = CountVI(adata, n_latent=2, n_hidden=32, gene_likelihood="nb")
    return train_quietly(model, max_epochs=epochs, plan_kwargs={"lr": 1e-2, "n_epochs_kl_warmup": 20})


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "bernoulli", "normal"])
def test_moments_are_those_of_draws(likelihood):
    rng = np.random.default_rng(0)
    one = np.ones((200_000, 1))
    parameters = {"mean": 0.6 * one, "dispersions": 1.7 * one, "dropout": 0.3 * one}
    mean, variance = likelihood_moments(likelihood, parameters)
    drawn = LikelihoodSampler(likelihood, rng).draw(parameters)
    # 200,000 draws: means within 1 %, variances within 3 %.
    np.testing.assert_allclose(mean[0], drawn.mean(), rtol=0.02)
    np.testing.assert_allclose(variance[0], drawn.var(), rtol=0.03)


def test_all_entries_are_posterior_means(model):
    adata = model.adata
    result = scgauge.tl.impute(adata, model, n_samples=40, rng=0, progress=False, copy=True)
    assert "imputed" not in adata.layers
    assert result.layers["imputed"].shape == adata.shape
    # Posterior means know the true rate better than counts do.
    truth = true_rates(adata)
    error = [np.mean((np.log1p(x) - np.log1p(truth)) ** 2) for x in (result.layers["imputed"], adata.X.toarray())]
    assert error[0] < 0.5 * error[1]
    # The library of a cell is kept.
    np.testing.assert_allclose(result.layers["imputed"].sum(1), np.asarray(adata.X.sum(1)).ravel(), rtol=1e-3)
    # Deviations: posterior predictive cells have the spread that is told.
    draws = [scgauge.tl.sample(model, source="posterior", indices=np.arange(300), rng=s).X.toarray() for s in range(30)]
    told, seen = result.layers["imputed_sd"].mean(), np.std(draws, axis=0, ddof=1).mean()
    np.testing.assert_allclose(told, seen, rtol=0.05)


def true_rates(adata):
    base, loadings = adata.var["base"].to_numpy(), adata.varm["loadings"]
    share = np.exp(base + adata.obsm["latent"] @ loadings.T)
    return share / share.sum(1, keepdims=True) * np.asarray(adata.X.sum(1)).reshape(-1, 1)


def test_masked_entries_alone_are_filled(model):
    adata = model.adata.copy()
    rng = np.random.default_rng(1)
    hidden = rng.random(adata.shape) < 0.05
    full = adata.X.toarray()
    adata.X = sparse.csr_matrix(np.where(hidden, 0, full))
    adata.layers["missing"] = sparse.csr_matrix(hidden.astype(float))
    scgauge.tl.impute(adata, model, mask="missing", rng=0, progress=False)
    filled, deviation = adata.layers["imputed"].toarray(), adata.layers["imputed_sd"].toarray()
    np.testing.assert_array_equal(filled[~hidden], full[~hidden])
    assert (deviation[~hidden] == 0).all()
    assert (deviation[hidden] > 0).all()
    assert adata.uns["imputed"]["params"]["n_filled"] == hidden.sum()
    # Better than the mean of the gene, in the scale of the counts.
    gene = np.broadcast_to(full.mean(0), full.shape)
    error = [np.mean((np.log1p(x[hidden]) - np.log1p(full[hidden])) ** 2) for x in (filled, gene)]
    assert error[0] < 0.8 * error[1]
    # Two standard deviations hold nearly as many measurements as they should: the posterior has read the zeros under
    # the mask, and is a little too sure.
    z = (full - filled)[hidden] / deviation[hidden]
    assert 0.87 < np.mean(np.abs(z) < 2) < 0.99


def test_what_stands_under_the_mask_is_not_kept(model):
    adata = model.adata[:20].copy()
    adata.layers["gene"] = np.tile(np.arange(30) == 4, (20, 1)).astype(float)
    scgauge.tl.impute(adata, model, mask="gene", rng=0, progress=False)
    scgauge.tl.impute(adata, model, rng=0, progress=False, key_added="smooth")
    # The same mean, at a library of which the other genes are all that was measured.
    smooth = adata.layers["smooth"]
    expected = smooth[:, 4] / (1 - smooth[:, 4] / smooth.sum(1))
    np.testing.assert_allclose(adata.layers["imputed"].toarray()[:, 4], expected, rtol=0.05)


def test_blocks_of_cells_change_nothing(model, monkeypatch):
    first = scgauge.tl.impute(model.adata, model, n_samples=5, rng=0, progress=False, copy=True)
    monkeypatch.setattr("scgauge.tl._impute.CELLS_AT_ONCE", 64)
    second = scgauge.tl.impute(model.adata, model, n_samples=5, rng=0, progress=False, copy=True)
    for layer in ("imputed", "imputed_sd"):
        np.testing.assert_allclose(first.layers[layer], second.layers[layer], rtol=1e-4, atol=1e-6)


def test_bad_input(model):
    adata = model.adata.copy()
    adata.layers["nothing"] = sparse.csr_matrix(adata.shape)
    for arguments, error, match in (
        ({"mask": "nowhere"}, KeyError, "nowhere"),
        ({"mask": "nothing"}, ValueError, "marks no entry"),
        ({"n_samples": 1}, ValueError, "n_samples=1"),
    ):
        with pytest.raises(error, match=match):
            scgauge.tl.impute(adata, model, **arguments)
    with pytest.raises(ValueError, match="needs the 30 genes"):
        scgauge.tl.impute(adata[:, ::-1].copy(), model)
    with pytest.raises(TypeError, match="cannot be read"):
        scgauge.tl.impute(adata, object())


def test_thinning_is_binomial():
    x = sparse.random(300, 40, density=0.5, random_state=np.random.default_rng(0), format="csr")
    x.data = np.random.default_rng(1).poisson(40, x.nnz).astype(float)
    first, second = scgauge.metrics.thin_counts(x, fraction=0.3, rng=0)
    np.testing.assert_array_equal((first + second).toarray(), x.toarray())
    seen, total = second.toarray()[x.toarray() > 0], x.toarray()[x.toarray() > 0]
    z = (seen - 0.3 * total) / np.sqrt(total * 0.3 * 0.7)
    # A chi-squared statistic with as many degrees of freedom as entries.
    assert 0.001 < stats.chi2.sf((z**2).sum(), len(z)) < 0.999
    dense = scgauge.metrics.thin_counts(x.toarray(), fraction=0.3, rng=0)
    np.testing.assert_array_equal(dense[0] + dense[1], x.toarray())
    with pytest.raises(ValueError, match="needs counts"):
        scgauge.metrics.thin_counts(np.array([[0.5]]))


def perfect(adata):
    """Predict true rates: the best that any method can do."""
    from scgauge.tl import _imputation_score

    train, test = scgauge.metrics.thin_counts(adata.X, fraction=0.2, rng=0)
    share = true_rates(adata)
    rate = share / share.sum(1, keepdims=True) * np.asarray(train.sum(1)).reshape(-1, 1)
    return _imputation_score._errors(lambda: iter([(slice(0, adata.n_obs), rate)]), test, 0.25)


def test_scores_of_methods(model):
    table = scgauge.tl.imputation_score(model.adata, fit=model, rng=0, progress=False)
    wide = table.pivot_table(index="method", columns="statistic", values="value")
    assert wide.loc["gene means", "skill"] == 0
    np.testing.assert_allclose(wide["skill"], 1 - wide["deviance"] / wide.loc["gene means", "deviance"])
    # Groups of cells differ: neighbours know more than the profile of all, and the model at least as much.
    assert wide.loc["kNN smoothing", "skill"] > 0.1
    assert wide.loc["model", "skill"] > wide.loc["kNN smoothing", "skill"] - 0.05
    best = perfect(model.adata)["deviance"].mean()
    # No method beats the truth; the model comes near it.
    assert best < wide["deviance"].min() + 0.01
    assert wide.loc["model", "genes_better"] > 0.7


def test_a_function_that_fits_and_a_model_that_knows_nothing(model):
    adata = model.adata.copy()

    def untrained(cells, seed):
        return fit(CountVI, cells, setup={}, seed=seed, epochs=1, n_latent=2, n_hidden=8, gene_likelihood="nb")

    table = scgauge.tl.imputation_score(adata, fit=untrained, rng=0, progress=False).set_index(["method", "statistic"])
    assert table["value"]["model", "skill"] < 0.05
    assert not any(name.startswith("_scvi") for name in set(adata.obs) - set(model.adata.obs))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({"n_neighbors": 0}, "n_neighbors=0"), ({"fraction": 1.0}, "fraction=1.0"), ({"n_samples": 1}, "n_samples=1")],
)
def test_bad_arguments_of_scores(model, arguments, match):
    with pytest.raises(ValueError, match=match):
        scgauge.tl.imputation_score(model.adata, fit=model, **arguments)


def test_augmentation_finds_what_helps():
    adata = make_cells(n_obs=240)

    def fit_few(cells, seed):
        return fit(CountVI, cells, setup={}, seed=seed, epochs=5, n_latent=2, n_hidden=16, gene_likelihood="nb")

    arguments = {"fit": fit_few, "labels_key": "type", "label": "delta", "sizes": [4, 8], "n_added": 30}
    arguments |= {"n_repeats": 2, "rng": 0, "progress": False}
    table = scgauge.tl.augmentation_gain(adata, **arguments)
    assert len(table) == 2 * 2 * 5 * 3
    wide = table[table["statistic"] == "average_precision"].pivot_table(
        index=["repeat", "n_kept"], columns="added", values="value"
    )
    # More real cells help, in the mean over repeats and sizes.
    assert wide["real cells"].mean() > wide["nothing"].mean()
    assert table["value"].between(0, 1).all()
    few = arguments | {"sizes": [4], "n_repeats": 1}
    assert scgauge.tl.augmentation_gain(adata, **few).equals(scgauge.tl.augmentation_gain(adata, **few))
    default = {name: value for name, value in few.items() if name != "sizes"}
    rarer = adata[
        np.flatnonzero(adata.obs["type"] == "delta")[:30].tolist() + list(np.flatnonzero(adata.obs["type"] != "delta"))
    ]
    assert scgauge.tl.augmentation_gain(rarer, **default)["n_kept"].unique().tolist() == [5, 15]
    for bad, match in (
        ({"label": "omega"}, "0 of 240 cells have the label 'omega'"),
        ({"sizes": [500]}, r"sizes=\[500\]"),
        ({"n_added": 0}, "n_added=0"),
    ):
        with pytest.raises(ValueError, match=match):
            scgauge.tl.augmentation_gain(adata, **(arguments | bad))


def test_synthetic_cells_of_the_few_are_of_their_kind(model):
    adata = model.adata
    few = np.flatnonzero(adata.obs["group"] == "group_2")[:10]
    synthetic = scgauge.tl.sample(model, 100, source="aggregate", indices=few, rng=0)
    assert isinstance(synthetic, ad.AnnData)
    centre = adapt(model).encode(few)[0].mean(0)
    others = adapt(model).encode(np.flatnonzero(adata.obs["group"] == "group_0"))[0].mean(0)
    middle = synthetic.obsm["X_latent"].mean(0)
    assert np.linalg.norm(middle - centre) < 0.5 * np.linalg.norm(others - centre)
