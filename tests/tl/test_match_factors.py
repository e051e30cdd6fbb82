import numpy as np
import pandas as pd
import pytest
import scvi
from cells import fit, make_cells, train_quietly

import scgauge
from scgauge.model import CountVI, LinearVI
from scgauge.tl import match_factors

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def runs():
    """Three seeds on cells with planted sparse loadings."""
    models = []
    for seed in range(3):
        adata = scgauge.datasets.simulate_counts(400, 40, n_latent=3, n_groups=3, rng=0)
        scvi.settings.seed = seed
        LinearVI.setup_anndata(adata)
        model = LinearVI(adata, n_latent=3, n_hidden=32)
        models.append(train_quietly(model, max_epochs=40, train_size=1.0, plan_kwargs={"lr": 2e-2}))
    return models


def test_rotated_factors_come_back_and_unrotated_do_not(runs):
    stable = match_factors(runs).stability
    assert stable["min"].min() > 0.95
    unrotated = match_factors(runs, rotation=None).stability
    assert unrotated["min"].min() < stable["min"].min()
    assert match_factors(runs).rotation == "varimax"


def test_table_says_what_metrics_say(runs):
    found = match_factors(runs, rotation="svd").matches
    tables = [run.get_loadings(rotation="svd", order=None) for run in runs]
    for number in (1, 2):
        direct = scgauge.metrics.match_loadings(tables[0], tables[number])
        rows = found[found["run"] == number]
        np.testing.assert_allclose(rows["correlation"], direct.correlation)
        assert rows["match"].tolist() == [tables[number].columns[k] for k in direct.match]


def test_stability_summarises_the_runs():
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"]) for _ in range(4)]
    found = match_factors(tables)
    strength = found.matches.assign(r=found.matches["correlation"].abs()).groupby("factor")["r"]
    row = found.stability.set_index("factor").loc["b"]
    assert row["median"] == pytest.approx(strength.get_group("b").median())
    assert row["max"] == pytest.approx(strength.get_group("b").max())
    assert found.rotation is None


def test_genes_in_another_order_and_fewer_factors():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), index=list("abcdefghij"), columns=list("xyz"))
    found = match_factors([table, table.iloc[::-1, [1]]])
    assert found.matches["match"].tolist() == ["", "y", ""]
    assert found.stability["max"].tolist() == pytest.approx([0, 1, 0])
    with pytest.raises(ValueError, match="differ in 1 genes, for example 'a'"):
        match_factors([table, table.iloc[1:]])


def test_masked_models_are_taken_as_they_are():
    models = []
    for seed in range(2):
        adata = make_cells()
        scgauge.pp.gene_set_mask(adata, gene_sets={"one": adata.var_names[:9], "two": adata.var_names[9:]})
        models.append(fit(LinearVI, adata, setup={}, seed=seed, mask_key="gene_sets", n_free_factors=0))
    assert match_factors(models).matches["match"].tolist() == ["one", "two"]


def test_a_model_that_is_not_linear():
    model = fit(CountVI, make_cells(), setup={}, epochs=1)
    with pytest.raises(TypeError, match="not linear"):
        match_factors([model, model])
