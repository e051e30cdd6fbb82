import numpy as np
import pytest
from anndata import AnnData
from cells import make_cells
from scipy import sparse

import scgauge

memorization = scgauge.tl.memorization


def sets(seed=0, n=150):
    """Training cells, cells held out and fresh cells of one law."""
    adata = scgauge.datasets.simulate_counts(3 * n, 60, rng=seed)
    return [adata[start : start + n].copy() for start in (0, n, 2 * n)]


def scores(adata):
    return adata.uns["memorization"]["scores"].set_index("statistic")


def test_copies_and_fresh_cells():
    train, holdout, fresh = sets()
    copies = AnnData(train.X[:100], var=train.var)
    for cells in (copies, fresh):
        memorization(train, cells, holdout=holdout, n_bootstrap=20, rng=0)
    assert copies.uns["memorization"]["copies"]
    assert not fresh.uns["memorization"]["copies"]
    assert scores(copies).loc["duplicates", "value"] == 1
    assert scores(fresh).loc["duplicates", "value"] == 0
    assert np.median(copies.obs["memorization_distance_ratio"]) < 1e-6
    assert 0.5 < np.median(fresh.obs["memorization_distance_ratio"]) < 2
    distances = copies.uns["memorization"]["distances"]
    assert distances.groupby("cells")["to_train"].max()["synthetic"] < 1e-6


def test_noisy_copies_are_no_duplicates_but_copies():
    train, holdout, _ = sets()
    noisy = AnnData(
        sparse.csr_matrix(np.random.default_rng(0).binomial(train.X.toarray().astype(int), 0.97)), var=train.var
    )
    memorization(train, noisy, holdout=holdout, n_bootstrap=20, rng=0)
    assert scores(noisy).loc["duplicates", "value"] < 0.05
    assert noisy.uns["memorization"]["copies"]


@pytest.mark.parametrize("kind", ["same", "dense", "explicit-zeros"])
def test_duplicates_are_found_in_any_storage(kind):
    train, holdout, _ = sets()
    x = train.X[:50]
    if kind == "dense":
        x = x.toarray()
    elif kind == "explicit-zeros":
        x = x.copy()
        x.data[::7] = 0
        train.X = sparse.vstack([x, train.X[50:]], format="csr")
        x = sparse.csr_matrix(x.toarray())
    cells = AnnData(x, var=train.var)
    memorization(train, cells, holdout=holdout, n_bootstrap=2, rng=0)
    assert scores(cells).loc["duplicates", "value"] == 1


def test_a_model_has_a_gap_of_its_elbo():
    adata = make_cells(n_obs=200)
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=16)
    model.train(max_epochs=2, train_size=0.6, enable_progress_bar=False)
    cells = scgauge.tl.sample(model, 80, rng=0)
    memorization(adata, cells, model=model, n_bootstrap=2, rng=0)
    row = scores(cells).loc["elbo_gap"]
    unseen = np.setdiff1d(np.arange(200), model.train_indices_)
    gap = float(model.get_elbo(indices=model.train_indices_)) - float(model.get_elbo(indices=unseen))
    assert row["value"] == pytest.approx(gap, abs=10 * row["se"] + 0.5)
    assert cells.uns["memorization"]["params"]["holdout"] == "validation cells of the model"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"holdout": None}, "pass `holdout` or `model`"),
        ({"holdout": "train"}, "share 150 cell names"),
        ({"holdout": "few"}, "Found 5 cells that are held out; at least 10"),
    ],
)
def test_bad_input(arguments, match):
    train, holdout, fresh = sets()
    choices = {"train": train, "few": holdout[:5].copy()}
    given = arguments["holdout"]
    with pytest.raises(ValueError, match=match):
        memorization(train, fresh, holdout=choices[given] if given else None)
    assert "memorization" not in fresh.uns


@pytest.mark.slow
def test_over_seeds():
    calls = []
    for seed in range(40):
        train, holdout, fresh = sets(seed)
        copies = AnnData(train.X[:100], var=train.var)
        for cells in (fresh, copies):
            memorization(train, cells, holdout=holdout, n_bootstrap=2, rng=seed)
        calls.append((fresh.uns["memorization"]["copies"], copies.uns["memorization"]["copies"]))
    assert np.mean(calls, axis=0).tolist() == [0, 1]
