import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from cells import fit, make_cells
from scipy import sparse, stats

import scgauge
from scgauge.tl._cell_space import Cells, CellSpace, kind_of
from scgauge.tl._fidelity import PROPERTIES, scores

score = scgauge.tl.synthetic_quality


@pytest.fixture(scope="module")
def data():
    """Real cells, cells held out, and fresh ones of the same law."""
    adata = scgauge.datasets.simulate_counts(1500, 40, rng=0)
    adata.obs["type"] = np.where(adata.X[:, 0].toarray().ravel() > np.median(adata.X[:, 0].toarray()), "a/b", "c")
    return adata[:800].copy(), adata[800:1100].copy(), adata[1100:].copy()


@pytest.fixture(scope="module")
def scored(data):
    """Scores of fresh cells and of the two wrong copies."""
    real, holdout, fresh = data
    sets = {"fresh": fresh.X}
    sets["independent"] = scgauge.metrics.independent_copy(real.X, rng=5)
    sets["poisson"] = scgauge.metrics.poisson_copy(real.X, rng=5)
    result = {}
    for name, x in sets.items():
        cells = AnnData(x, var=real.var[[]])
        score(real, cells, holdout=holdout, n_splits=3, rng=0)
        result[name] = cells.uns["synthetic_quality"]
    return result


def overall(result, family="all"):
    table = result["overall"]
    return table[(table["family"] == family) & (table["group"] == "")]["scaled"].item()


def test_fresh_cells_score_as_real_ones(scored):
    table = scored["fresh"]["scores"].dropna(subset="scaled")
    assert len(table) >= 18
    assert table["scaled"].abs().median() < 0.05
    assert overall(scored["fresh"]) < 0.1


def test_wrong_copies_score_as_their_yardsticks(scored):
    for name in ("independent", "poisson"):
        table = scored[name]["scores"].dropna(subset="scaled")
        own = table[table["yardstick"] == name]
        assert len(own) >= 5
        assert (own["scaled"] - 1).abs().median() < 0.05
        assert overall(scored[name]) > 0.4
    # What each copy gets right is told apart from what it gets wrong.
    assert overall(scored["independent"], "genes") < 0.1
    assert overall(scored["independent"], "joint") > 0.9
    assert overall(scored["poisson"], "genes") > 0.5


def test_scaled_follows_from_value_floor_and_ceiling(scored):
    for result in scored.values():
        table = result["scores"]
        table = table[table["statistic"] != "p-value"]
        span = table["ceiling"] - table["floor"]
        clear = span.abs() >= 3 * np.hypot(table["floor_se"], table["ceiling_se"])
        np.testing.assert_allclose(table["scaled"][clear], ((table["value"] - table["floor"]) / span)[clear])
        assert table["scaled"][~clear].isna().all()


def test_floor_and_ceiling_do_not_depend_on_the_synthetic_cells(scored):
    fresh, poisson = (scored[name]["scores"].set_index(["property", "statistic"]) for name in ("fresh", "poisson"))
    # The same seed, parts of one size: the same real cells.
    assert scored["fresh"]["params"]["n_cells"] == scored["poisson"]["params"]["n_cells"]
    pd.testing.assert_series_equal(fresh["floor"], poisson["floor"])
    pd.testing.assert_series_equal(fresh["ceiling"], poisson["ceiling"])


def test_every_property_is_scored(scored):
    assert set(scored["fresh"]["scores"]["property"]) == {item.name for item in PROPERTIES}
    assert set(scored["fresh"]["overall"]["family"]) == {"genes", "cells", "pairs", "joint", "all"}
    assert scored["fresh"]["params"]["kind"] == "counts"


def test_features_name_the_gene_that_is_wrong(data):
    real, holdout, fresh = data
    wrong = fresh.copy()
    dense = wrong.X.toarray()
    dense[:, 7] = 0
    wrong.X = sparse.csr_matrix(dense)
    score(real, wrong, holdout=holdout, n_splits=2, rng=0)
    first = wrong.uns["synthetic_quality"]["features"].iloc[0]
    assert first["gene"] == real.var_names[7]
    assert first["weight"] < 0


def test_statistics_by_hand(data):
    real, holdout, fresh = (adata.X.toarray().astype(float) for adata in data)
    space = CellSpace(sparse.csr_matrix(real), "counts", 20, 5, 0)
    a, b = Cells(sparse.csr_matrix(fresh), space), Cells(sparse.csr_matrix(holdout), space)
    found = {key[1:]: value for key, value in scores(a, b, None, 0).items()}
    root = np.sqrt(fresh.mean(0)) - np.sqrt(holdout.mean(0))
    assert found["mean", "rmse of square roots"] == pytest.approx(np.sqrt((root**2).mean()))
    zeros = (fresh == 0).mean(0) - (holdout == 0).mean(0)
    assert found["zero fraction", "rmse"] == pytest.approx(np.sqrt((zeros**2).mean()))
    library = fresh.sum(1), holdout.sum(1)
    assert found["library", "KS"] == pytest.approx(stats.ks_2samp(*library).statistic)
    assert found["library", "Wasserstein"] == pytest.approx(stats.wasserstein_distance(*library))
    pooled = np.concatenate(library)
    scaled = [(part - pooled.min()) / np.ptp(pooled) for part in library]
    assert found["library", "eCDF area"] == pytest.approx(stats.wasserstein_distance(*scaled))
    log = [np.log1p(x * space.target / x.sum(1, keepdims=True))[:, space.genes] for x in (fresh, holdout)]
    upper = np.triu_indices(20, 1)
    difference = (np.corrcoef(log[0].T) - np.corrcoef(log[1].T))[upper]
    assert found["correlation", "rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    covariance = [np.cov(part.T) for part in log]
    relative = np.linalg.norm(covariance[0] - covariance[1]) / np.linalg.norm(covariance[1])
    assert found["covariance", "relative error"] == pytest.approx(relative)
    points = [space.pca.transform(part) for part in log]
    assert found["energy", "distance"] == pytest.approx(scgauge.metrics.energy_distance(*points))
    assert 0.35 < found["classifier", "AUC logistic"] < 0.65


def test_space_is_learnt_on_training_cells_only(data):
    real = data[0]
    train = sparse.csr_matrix(real.X)
    space = CellSpace(train, "counts", 10, 5, 0)
    log = np.log1p(train.toarray() * space.target / train.toarray().sum(1, keepdims=True))
    np.testing.assert_array_equal(space.genes, np.sort(np.argsort(-log.var(0))[:10]))
    np.testing.assert_allclose(space.thresholds, np.median(train[:, space.genes].toarray(), axis=0))
    np.testing.assert_allclose(space.pca.mean_, log[:, space.genes].mean(0), rtol=1e-5)


def test_groups_are_scored_on_their_own_and_labels_predicted(data):
    real, holdout, fresh = data
    cells = AnnData(fresh.X, var=real.var[[]])
    score(real, cells, holdout=holdout, groupby="type", n_splits=2, rng=0)
    result = cells.uns["synthetic_quality"]
    assert list(dict.fromkeys(result["scores"]["group"])) == ["", "a/b", "c"]
    assert result["params"]["labels"] == "predicted"
    labelled = fresh.copy()
    labelled.obs["type"] = pd.Categorical(np.where(np.arange(fresh.n_obs) < 30, "c", "a/b"))
    score(real, labelled, holdout=holdout, groupby="type", n_splits=2, n_top_genes=5, rng=0)
    result = labelled.uns["synthetic_quality"]
    assert result["params"]["labels"] == "given"
    assert result["params"]["skipped_groups"] == ["c"]  # 30 cells are 15 in each of two parts


@pytest.mark.parametrize(("kind", "expected"), [("bernoulli", "binary"), ("normal", "continuous")])
def test_other_kinds_of_data(kind, expected):
    adata = make_cells(kind, n_obs=400)
    real, fresh = adata[:260].copy(), adata[260:].copy()
    score(real, fresh, n_splits=2, rng=0)
    result = fresh.uns["synthetic_quality"]
    assert result["params"]["kind"] == expected
    assert result["params"]["holdout"] == "random half of real"
    assert not {"dispersion", "mean-variance trend"} & set(result["scores"]["property"])
    assert set(result["scores"]["yardstick"]) == {"independent", "shuffled"}


def test_kinds_are_recognised():
    assert kind_of(make_cells().X) == "counts"
    assert kind_of(make_cells("bernoulli").X) == "binary"
    assert kind_of(make_cells("normal").X) == "continuous"


def test_too_few_validation_cells_of_a_model():
    adata = make_cells()
    model = fit(scgauge.model.CountVI, adata, setup={}, epochs=1)
    with pytest.raises(ValueError, match="12 reference.*20 reference cells"):
        score(adata, scgauge.tl.sample(model, rng=0), model=model, n_splits=2)


def test_prior_posterior_and_aggregate_side_by_side():
    adata = make_cells(n_obs=300)
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=16)
    model.train(max_epochs=2, train_size=0.7, enable_progress_bar=False)
    result = scgauge.tl.compare_sources(model, n_splits=2, rng=0)
    assert list(result) == ["prior", "posterior", "aggregate"]
    floors = [cells.uns["synthetic_quality"]["scores"]["floor"] for cells in result.values()]
    pd.testing.assert_series_equal(floors[0], floors[1])
    assert result["prior"].uns["synthetic_quality"]["params"]["holdout"] == "validation cells of the model"
    assert result["prior"].uns["prior_gap"] == result["aggregate"].uns["prior_gap"]
    assert result["prior"].uns["prior_gap"]["kl"] > 0
    assert not any(key.startswith("_scvi") for key in result["prior"].uns)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        pytest.param({"holdout": "real"}, ValueError, "share 800 cell names", id="overlap"),
        pytest.param({"n_splits": 1}, ValueError, "n_splits=1 was given", id="one-part"),
        pytest.param({"n_splits": 60}, ValueError, "Draw more synthetic cells", id="small-parts"),
        pytest.param({"n_top_genes": 2}, ValueError, "n_top_genes=2 of 40 genes", id="two-genes"),
        pytest.param({"n_top_genes": ["a", "b", "c"]}, KeyError, "3 of `n_top_genes` are not in", id="unknown-genes"),
        pytest.param({"groupby": "cluster"}, KeyError, "groupby='cluster'", id="groupby"),
        pytest.param({"layer": "none"}, KeyError, "layer 'none'", id="layer"),
        pytest.param({"holdout": 3}, TypeError, "`holdout` is int", id="holdout"),
    ],
)
def test_bad_input(data, change, error, match):
    real, holdout, fresh = data
    arguments = {"holdout": holdout} | change
    if isinstance(arguments["holdout"], str):
        arguments["holdout"] = real
    cells = fresh.copy()
    with pytest.raises(error, match=match):
        score(real, cells, **arguments)
    assert "synthetic_quality" not in cells.uns


def test_holdout_or_model_not_both(data):
    real, holdout, fresh = data
    with pytest.raises(ValueError, match="not both"):
        score(real, fresh.copy(), holdout=holdout, model=object())


def test_a_model_of_other_cells_is_refused(data):
    real, _, fresh = data
    other = fit(scgauge.model.CountVI, make_cells(), epochs=1)
    with pytest.raises(ValueError, match="both need the same cells"):
        score(real, fresh.copy(), model=other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_over_seeds(seed):
    adata = scgauge.datasets.simulate_counts(1500, 40, rng=seed)
    real, holdout, fresh = adata[:800].copy(), adata[800:1100].copy(), adata[1100:].copy()
    values = {}
    for name, x in {
        "fresh": fresh.X,
        "independent": scgauge.metrics.independent_copy(real.X, rng=seed),
        "poisson": scgauge.metrics.poisson_copy(real.X, rng=seed),
    }.items():
        cells = AnnData(x, var=real.var[[]])
        score(real, cells, holdout=holdout, n_splits=4, rng=seed)
        values[name] = overall(cells.uns["synthetic_quality"])
    assert values["fresh"] < 0.15 < 0.4 < min(values["independent"], values["poisson"])
