"""tl.loadings on our models and scvi-tools' own; enrichment against a regression by hand."""

import builtins

import numpy as np
import pandas as pd
import pytest
import scvi
from cells import fit, make_cells, train_quietly
from scipy import stats

import scgauge
from scgauge.model import BayesianLinearVI, CountVI, LinearVI
from scgauge.tl import loadings

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def model():
    return fit(LinearVI, make_cells(), setup={"batch_key": "batch"})


@pytest.mark.parametrize("rotation", [None, "varimax"])
def test_what_is_written_is_what_the_model_says(model, rotation):
    adata = make_cells()
    loadings(adata, model, rotation=rotation, n_genes=5)
    expected = model.get_loadings(rotation=rotation)
    result = adata.uns["loadings"]
    assert result["factors"]["factor"].tolist() == list(expected.columns)
    np.testing.assert_allclose(result["factors"]["explained"], model.get_explained_deviance(rotation=rotation))
    np.testing.assert_allclose(adata.varm["loadings"], expected)
    latent = model.get_latent_representation(rotation=rotation, order="explained")
    np.testing.assert_allclose(adata.obsm["X_loadings"], latent, atol=1e-5)
    for factor in expected:
        genes = result["top_genes"].query("factor == @factor")
        assert genes["rank"].tolist() == [1, 2, 3, 4, 5]
        assert genes["gene"].tolist() == expected[factor].abs().nlargest(5).index.tolist()
        np.testing.assert_allclose(genes["loading"], expected[factor][genes["gene"]])


def test_the_cells_of_the_model_itself(model):
    one = loadings(model.adata, model, copy=True)
    other = loadings(make_cells(), model, copy=True)
    np.testing.assert_allclose(one.obsm["X_loadings"], other.obsm["X_loadings"], atol=1e-6)


def test_further_genes_are_nan_and_missing_ones_an_error(model):
    adata = make_cells(n_vars=20)
    extra = adata[:, [0, 1]].copy()
    extra.var_names = ["new_0", "new_1"]
    import anndata as ad

    both = ad.concat([extra, adata[:, ::-1]], axis=1, merge="first")
    both.obs = adata.obs.copy()
    loadings(both, model)
    assert np.isnan(both.varm["loadings"][:2]).all()
    frame = pd.DataFrame(both.varm["loadings"], index=both.var_names)
    expected = model.get_loadings()
    np.testing.assert_allclose(frame.loc[expected.index], expected)
    with pytest.raises(ValueError, match="lacks 1 of the 20 genes"):
        loadings(adata[:, 1:].copy(), model)


def test_linear_scvi_is_read_too():
    adata = make_cells()
    scvi.settings.seed = 0
    scvi.model.LinearSCVI.setup_anndata(adata, batch_key="batch")
    model = train_quietly(
        scvi.model.LinearSCVI(adata, n_latent=3, n_hidden=16), max_epochs=40, plan_kwargs={"lr": 1e-2}
    )
    mine = make_cells()
    loadings(mine, model, order=None, centered=False)
    np.testing.assert_allclose(mine.varm["loadings"], model.get_loadings(), rtol=1e-6)
    loadings(mine, model, rotation="svd", key_added="turned")
    assert mine.uns["turned"]["factors"]["explained"].notna().all()


def test_a_model_with_intervals():
    adata = make_cells()
    scvi.settings.seed = 0
    BayesianLinearVI.setup_anndata(adata)
    model = train_quietly(BayesianLinearVI(adata, n_latent=2, n_hidden=16), max_epochs=2)
    loadings(adata, model, interval=0.5)
    table = adata.uns["loadings"]["top_genes"]
    assert (table["lower"] < table["loading"]).all()
    assert (table["loading"] < table["upper"]).all()
    expected = model.get_loadings(return_interval=0.5).set_index(["factor", "gene"])
    for row in table.itertuples():
        assert row.lower == pytest.approx(expected.loc[(row.factor, row.gene), "lower"])
        assert row.local_false_sign_rate == pytest.approx(expected.loc[(row.factor, row.gene), "local_false_sign_rate"])


def test_masked_factors_list_their_own_genes_only():
    adata = make_cells()
    sets = {"first": list(adata.var_names[:7]), "second": list(adata.var_names[5:12])}
    scgauge.pp.gene_set_mask(adata, gene_sets=sets)
    model = fit(LinearVI, adata, setup={}, mask_key="gene_sets")
    loadings(adata, model)
    table = adata.uns["loadings"]["top_genes"]
    for factor, genes in sets.items():
        assert set(table.loc[table["factor"] == factor, "gene"]) <= set(genes)


def test_enrichment_is_a_regression_on_membership(model):
    pytest.importorskip("decoupler")
    adata = make_cells()
    best = model.get_loadings().iloc[:, 0].nlargest(6).index.tolist()
    sets = {"strongest": best, "others": list(adata.var_names[:8]), "absent": ["x"] * 9}
    loadings(adata, model, gene_sets=sets)
    table = adata.uns["loadings"]["enrichment"]
    assert set(table["gene_set"]) == {"strongest", "others"}
    first = adata.uns["loadings"]["factors"]["factor"].iloc[0]
    assert table.iloc[0][["factor", "gene_set", "n_genes"]].tolist() == [first, "strongest", 6]
    values = model.get_loadings()[first]
    fitted = stats.linregress(values.index.isin(best).astype(float), values)
    assert table.iloc[0]["score"] == pytest.approx(fitted.slope / fitted.stderr, rel=1e-4)
    ours = table.query("factor == @first").set_index("gene_set")
    p = []
    for name in ("strongest", "others"):
        member = values.index.isin(sets[name]).astype(float)
        p.append(stats.linregress(member, values).pvalue)
    expected = stats.false_discovery_control(p)
    np.testing.assert_allclose(ours.loc[["strongest", "others"], "padj"], expected, rtol=1e-3)


def test_enrichment_needs_decoupler(model, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("decoupler"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    import sys

    monkeypatch.setitem(sys.modules, "decoupler", None)
    monkeypatch.setattr(builtins, "__import__", without)
    adata = make_cells()
    with pytest.raises(ImportError, match=r"scgauge\[enrich\]"):
        loadings(adata, model, gene_sets={"set": list(adata.var_names[:8])})
    assert "loadings" not in adata.uns


def test_models_without_a_linear_decoder():
    model = fit(CountVI, make_cells(), setup={}, epochs=1)
    with pytest.raises(TypeError, match="its decoder is not linear"):
        loadings(make_cells(), model)
    adata = make_cells()
    LinearVI.setup_anndata(adata)
    untrained = LinearVI(adata)
    with pytest.raises(RuntimeError, match="not trained"):
        loadings(adata, untrained)


def test_too_few_genes_asked_for(model):
    with pytest.raises(ValueError, match="n_genes=0"):
        loadings(make_cells(), model, n_genes=0)
    with pytest.raises(ValueError, match="None of the 1 gene sets"):
        loadings(make_cells(), model, gene_sets={"absent": ["x", "y"]})
