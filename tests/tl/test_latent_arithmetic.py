import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from cells import train_quietly
from scipy import sparse

import scgauge
from scgauge.model import CountVI
from scgauge.tl._latent_arithmetic import _balanced_difference

NAMES = {"condition_key": "condition", "control": "ctrl", "treated": "stim", "labels_key": "type"}


def treated_cells(n=80, n_genes=40, seed=0):
    """Three types; the treatment doubles some genes in all of them."""
    rng = np.random.default_rng(seed)
    profiles = rng.gamma(2, 2, (3, n_genes))
    response = np.where(np.arange(n_genes) < 8, 3.0, 1.0)
    rows, types, conditions = [], [], []
    for kind, name in enumerate(("B", "T", "mono/cyte")):
        for condition in ("ctrl", "stim"):
            size = n // (1 + (kind == 2))  # one type is rarer
            rate = profiles[kind] * (response if condition == "stim" else 1)
            rows.append(rng.poisson(rate * rng.gamma(10, 0.1, (size, 1))))
            types += [name] * size
            conditions += [condition] * size
    adata = AnnData(sparse.csr_matrix(np.concatenate(rows).astype("f4")))
    adata.obs["type"], adata.obs["condition"] = pd.Categorical(types), pd.Categorical(conditions)
    return adata


@pytest.fixture(scope="module")
def cells():
    return treated_cells()


@pytest.fixture(scope="module")
def model(cells):
    known = cells[~((cells.obs["type"] == "T") & (cells.obs["condition"] == "stim"))].copy()
    scvi.settings.seed = 0
    CountVI.setup_anndata(known)
    built = CountVI(known, n_latent=4, n_hidden=64, gene_likelihood="poisson")
    plan = {"lr": 1e-2, "n_epochs_kl_warmup": 20}
    return train_quietly(built, max_epochs=40, batch_size=32, plan_kwargs=plan)


@pytest.fixture(scope="module")
def predicted(cells, model):
    return scgauge.tl.latent_arithmetic(cells, model, **NAMES, label="T", n_top_genes=8, rng=0)


def test_balanced_difference_gives_each_label_the_same_weight():
    values = np.arange(12.0).reshape(6, 2) ** 2
    others = [(np.array([0]), np.array([1])), (np.array([2, 3]), np.array([4, 5]))]
    expected = ((values[1] - values[0]) + (values[4:].mean(0) - values[2:4].mean(0))) / 2
    for kind in (np.asarray, sparse.csr_matrix):
        np.testing.assert_allclose(_balanced_difference(kind(values), others), expected)


def test_predicted_cells_are_moved_control_cells(cells, model, predicted):
    control = cells[(cells.obs["type"] == "T") & (cells.obs["condition"] == "ctrl")]
    assert predicted.obs["source_cell"].tolist() == control.obs_names.tolist()
    assert set(predicted.obs["condition"]) == {"stim"}
    latent = model.get_latent_representation(control.copy())
    delta = predicted.uns["latent_arithmetic"]["delta"]
    np.testing.assert_allclose(predicted.obsm["X_latent"] - latent, np.tile(delta, (80, 1)), atol=1e-5)
    # At the library size of the control cells.
    ratio = np.asarray(predicted.X.sum(1)).ravel() / np.asarray(control.X.sum(1)).ravel()
    np.testing.assert_allclose(ratio.mean(), 1, atol=0.1)


def test_a_response_that_all_types_share_is_predicted(predicted):
    result = predicted.uns["latent_arithmetic"]
    scores = result["scores"].pivot_table(index="statistic", columns="method", values="value")
    # Genes of the response are found, and the prediction is nearer to the treated cells than no change is.
    assert result["genes"]["top"].to_numpy()[:8].sum() >= 6
    assert scores.loc["rmse_top", "latent space"] < 0.75 * scores.loc["rmse_top", "no change"]
    assert scores.loc["energy", "latent space"] < scores.loc["energy", "no change"]
    assert scores.loc["r_change_all", "latent space"] > 0.6
    assert scores.loc["r2_all", "two halves"] > 0.95
    assert "no change" not in result["scores"].dropna().query("statistic == 'r_change_all'")["method"].to_list()


def test_scores_are_those_of_the_means(cells, predicted):
    genes = predicted.uns["latent_arithmetic"]["genes"]
    counts = cells.X.toarray().astype(float)
    library = counts.sum(1, keepdims=True)
    target = np.median(library)
    logged = np.log1p(counts / library * target)
    is_t = (cells.obs["type"] == "T").to_numpy()
    stim = (cells.obs["condition"] == "stim").to_numpy()
    np.testing.assert_allclose(genes["treated"], logged[is_t & stim].mean(0))
    np.testing.assert_allclose(genes["control"], logged[is_t & ~stim].mean(0))
    drawn = predicted.X.toarray().astype(float)
    np.testing.assert_allclose(genes["latent_space"], np.log1p(drawn / drawn.sum(1, keepdims=True) * target).mean(0))
    kinds = [(cells.obs["type"] == name).to_numpy() for name in ("B", "mono/cyte")]
    others = [logged[kind & stim].mean(0) - logged[kind & ~stim].mean(0) for kind in kinds]
    moved = np.maximum(logged[is_t & ~stim] + np.mean(others, axis=0), 0)
    np.testing.assert_allclose(genes["gene_space"], moved.mean(0))
    scores = predicted.uns["latent_arithmetic"]["scores"].set_index(["method", "statistic"])["value"]
    expected = np.corrcoef(genes["gene_space"], genes["treated"])[0, 1] ** 2
    np.testing.assert_allclose(scores["gene space", "r2_all"], expected)


def test_without_treated_cells_there_is_a_prediction_and_no_score(cells, model):
    known = cells[~((cells.obs["type"] == "T") & (cells.obs["condition"] == "stim"))].copy()
    predicted = scgauge.tl.latent_arithmetic(known, model, **NAMES, label="T", rng=0)
    result = predicted.uns["latent_arithmetic"]
    assert len(result["scores"]) == 0
    assert not result["genes"]["top"].any()
    with pytest.raises(ValueError, match="nothing can be drawn"):
        scgauge.pl.latent_arithmetic(predicted)


def test_bad_input(cells, model):
    cases = (
        ({"label": "B"}, "given 80 of the 80 stim cells of B"),
        ({"label": "NK"}, "no cells with the condition 'ctrl' and the label 'NK'"),
        ({"label": "T", "treated": "heat"}, "No label other than 'T' has cells of both"),
    )
    for arguments, match in cases:
        with pytest.raises(ValueError, match=match):
            scgauge.tl.latent_arithmetic(cells, model, **(NAMES | arguments))


def test_figure_has_the_scores(predicted):
    import matplotlib.pyplot as plt

    panels = scgauge.pl.latent_arithmetic(predicted, show=False)
    scores = predicted.uns["latent_arithmetic"]["scores"].set_index(["method", "statistic"])["value"]
    assert f"{scores['latent space', 'r2_all']:.2f}" in panels[0].get_title(loc="left")
    assert panels[2].collections[1].get_offsets().shape == (8, 2)
    plt.close("all")
