"""Signatures in the sense of ADAGE: rules and tests written out again, slowly."""

import cells as simulated
import numpy as np
import pytest
import scvi
from scipy import sparse, stats

import scgauge
from scgauge.model import Autoencoder, CountVI, LinearVI


@pytest.fixture(scope="module")
def model():
    adata = simulated.make_cells("normal", n_obs=90, n_vars=40)
    scvi.settings.seed = 0
    Autoencoder.setup_anndata(adata)
    trained = Autoencoder(adata, n_latent=4, n_layers=0, latent_activation="sigmoid", tied=True, noise="masking")
    trained.train(max_epochs=5, enable_progress_bar=False, plan_kwargs={"lr": 0.02})
    return trained


@pytest.fixture
def scored(model):
    adata = simulated.make_cells("normal", n_obs=90, n_vars=40)
    scgauge.tl.signatures(adata, model, side="encoder", cutoff=1.5)
    return adata


def test_the_rule_of_high_weights(scored, model):
    weight = model.module.z_encoder.weights()[0].detach().numpy()
    table = scored.uns["signatures"]["genes"]
    for node in range(4):
        w = weight[node].astype(float)
        for sign, name in ((1, "pos"), (-1, "neg")):
            bound = w.mean() + sign * 1.5 * w.std(ddof=1)
            expected = {f"gene_{g}" for g in range(40) if sign * (w[g] - bound) >= 0}
            part = table[table["signature"] == f"Z_{node}{name}"]
            assert set(part["gene"]) == expected
            assert (np.diff(sign * part["weight"]) <= 0).all()
    np.testing.assert_allclose(scored.varm["signatures"], weight.T)


def reference(x, table, name, without=()):
    """Activity of a signature, gene by gene."""
    part = table[table["signature"] == name]
    total, n_genes = 0.0, 0
    for gene, weight in zip(part["gene"], part["weight"], strict=True):
        column = x[:, int(gene.split("_")[1])]
        if gene not in without:
            total = total + weight * (column - column.min()) / (column.max() - column.min())
            n_genes += 1
    return np.abs(total / n_genes) if n_genes else np.full(len(x), np.nan)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_activities_and_tests(scored, kind):
    x = np.asarray(scored.X, dtype=float)
    scored.X = kind(scored.X)
    scgauge.tl.signature_activity(scored, groupby="type", groups=["alpha", "delta"])
    result, table = scored.uns["signature_activity"], scored.uns["signatures"]["genes"]
    one, other = (scored.obs["type"].to_numpy() == name for name in ("alpha", "delta"))
    tests = result["tests"].set_index("signature")
    for column, name in enumerate(result["signatures"]):
        expected = reference(x, table, name)
        np.testing.assert_allclose(scored.obsm["signature_activity"][:, column], expected, rtol=1e-5, atol=1e-7)
        welch = stats.ttest_ind(expected[one], expected[other], equal_var=False)
        assert tests.loc[name, "pvalue"] == pytest.approx(welch.pvalue, rel=1e-4)
        assert tests.loc[name, "difference"] == pytest.approx(expected[one].mean() - expected[other].mean(), rel=1e-4)
    np.testing.assert_allclose(tests["padj"], stats.false_discovery_control(tests["pvalue"]))
    ranks = np.column_stack((tests["difference"].abs(), -np.log10(tests["padj"])))
    np.testing.assert_array_equal(tests["front"], scgauge.metrics.pareto_fronts(ranks))


def test_marginal_activity_leaves_shared_genes_out(scored):
    x = np.asarray(scored.X, dtype=float)
    scgauge.tl.signature_activity(scored, groupby="type", groups=["alpha", "delta"], marginal=True)
    result, table = scored.uns["signature_activity"], scored.uns["signatures"]["genes"]
    overlap = scored.uns["signatures"]["overlap"]
    shared = overlap.loc[overlap["n_shared"] > 0, ["signature", "other"]].iloc[0]
    row = result["marginal"].set_index(["signature", "given"]).loc[tuple(shared)]
    without = set(table.loc[table["signature"] == shared["other"], "gene"])
    expected = reference(x, table, shared["signature"], without)
    one, other = (scored.obs["type"].to_numpy() == name for name in ("alpha", "delta"))
    if row["n_genes"]:
        assert row["difference"] == pytest.approx(expected[one].mean() - expected[other].mean(), rel=1e-4)
    active = result["tests"]["active"].sum()
    assert len(result["marginal"]) == active * (active - 1)


def test_each_group_against_the_rest_and_other_choices(scored):
    scgauge.tl.signature_activity(scored, groupby="type", active="diff", n_top=2)
    tests = scored.uns["signature_activity"]["tests"]
    assert set(tests["group"]) == {"alpha", "beta/gamma", "delta"}
    assert (tests.groupby("group")["active"].sum() == 2).all()
    scgauge.tl.signature_activity(scored, groupby="type", active="pvalue", key_added="p")
    tests = scored.uns["p"]["tests"]
    np.testing.assert_array_equal(tests["active"], tests["padj"] < 0.05)


def test_a_planted_program_is_found():
    rng = np.random.default_rng(0)
    adata = simulated.make_cells("normal", n_obs=200, n_vars=60)
    adata.X = rng.normal(size=adata.shape).astype(np.float32)
    on = rng.random(200) < 0.5
    adata.obs["on"] = np.where(on, "yes", "no")
    adata.X[np.ix_(on, range(6))] += 3
    Autoencoder.setup_anndata(adata)
    scvi.settings.seed = 0
    model = Autoencoder(adata, n_latent=2, n_layers=0)
    model.train(max_epochs=60, enable_progress_bar=False, plan_kwargs={"lr": 0.02})
    scgauge.tl.signatures(adata, model, cutoff=2)
    scgauge.tl.signature_activity(adata, groupby="on", groups=["yes", "no"])
    best = adata.uns["signature_activity"]["tests"].sort_values("pvalue").iloc[0]
    genes = adata.uns["signatures"]["genes"]
    assert set(genes.loc[genes["signature"] == best["signature"], "gene"]) == {f"gene_{g}" for g in range(6)}
    assert best["padj"] < 1e-20


def test_models_and_sides(model):
    adata = simulated.make_cells("counts", n_vars=40)
    count = simulated.fit(CountVI, adata.copy(), epochs=1)
    linear = simulated.fit(LinearVI, adata.copy(), epochs=1)
    for trained, side, nodes in ((count, "encoder", 16), (linear, "decoder", 3)):
        cells = adata.copy()
        scgauge.tl.signatures(cells, trained, cutoff=1)
        assert cells.uns["signatures"]["params"]["side"] == side
        assert cells.varm["signatures"].shape == (40, nodes)
    np.testing.assert_allclose(cells.varm["signatures"], linear.module.get_loadings())
    with pytest.raises(TypeError, match="no linear decoder"):
        scgauge.tl.signatures(adata, count, side="decoder")
    with pytest.raises(ValueError, match="lower `cutoff`"):
        scgauge.tl.signatures(adata, count, cutoff=50)
    with pytest.raises(ValueError, match="side='both'"):
        scgauge.tl.signatures(adata, count, side="both")
    with pytest.raises(ValueError, match="lacks 1 of the 40"):
        scgauge.tl.signatures(adata[:, 1:].copy(), count)


def test_masked_weights_are_no_part_of_the_mean():
    adata = simulated.make_cells("normal", n_vars=40)
    sets = {"one": adata.var_names[:20], "two": adata.var_names[15:40]}
    scgauge.pp.gene_set_mask(adata, gene_sets=sets)
    Autoencoder.setup_anndata(adata)
    model = Autoencoder(adata, n_latent=2, n_layers=0, mask_key="gene_sets", n_free_units=1)
    model.train(max_epochs=1, enable_progress_bar=False)
    scgauge.tl.signatures(adata, model, side="encoder", cutoff=1.2)
    result = adata.uns["signatures"]
    assert list(result["nodes"]) == ["one", "two", "free_0"]
    w = adata.varm["signatures"][:20, 0]
    expected = {f"gene_{g}" for g in range(20) if w[g] >= w.mean() + 1.2 * w.std(ddof=1)}
    assert set(result["genes"].query("signature == 'onepos'")["gene"]) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"groupby": "nowhere"}, KeyError, "nowhere"),
        ({"key": "nowhere"}, KeyError, "tl.signatures"),
        ({"groups": ["alpha"]}, ValueError, "two different groups"),
        ({"active": "best"}, ValueError, "active='best'"),
        ({"n_fronts": 0}, ValueError, "n_fronts=0"),
        ({"groupby": "name"}, ValueError, "at least 2 each"),
    ],
)
def test_bad_arguments(scored, arguments, error, match):
    scored.obs["name"] = scored.obs_names
    with pytest.raises(error, match=match):
        scgauge.tl.signature_activity(scored, **{"groupby": "type"} | arguments)
