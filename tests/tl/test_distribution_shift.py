import importlib.util
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import scgauge

SPEC = importlib.util.spec_from_file_location(
    "shift_benchmark", Path(__file__).parents[2] / "benchmarks" / "distribution_shift.py"
)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def shift(x, y, **arguments):
    arguments = {"labels_key": "label", "n_permutations": 199, "rng": 0, "progress": False} | arguments
    return scgauge.tl.distribution_shift(x, y, **arguments)


def found(result):
    return set(result.shifts.loc[result.shifts["found"], "shift"])


@pytest.mark.parametrize("kind", ["null", "covariate", "prior", "concept"])
def test_constructed_shifts_are_named(kind):
    expected = set() if kind == "null" else {kind}
    cells = [benchmark.constructed(kind, seed, n_cells=250) for seed in range(2)]
    named = [found(shift(*pair, n_permutations=199, rng=seed)) == expected for seed, pair in enumerate(cells)]
    # Each is named right in about 19 of 20 cases (benchmarks/distribution_shift.py): one of two may be missed.
    assert sum(named) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["null", "covariate", "prior", "concept"])
def test_rates_over_many_simulations(kind):
    expected = set() if kind == "null" else {kind}
    named = [found(shift(*benchmark.constructed(kind, seed), rng=seed)) == expected for seed in range(100)]
    # 95 % less three standard errors.
    assert sum(named) >= 88


def test_the_gene_that_was_changed_carries_the_shift():
    x, y = benchmark.constructed("null", 0)
    y.X = sparse.csr_matrix(y.X.multiply(np.where(np.arange(60) == 7, 3, 1)), dtype=np.float32)
    result = shift(x, y)
    genes = result.genes[result.genes["part"] == "within"]
    assert genes.loc[genes["z"].idxmax(), "gene"] == "gene_7"
    parts = result.genes.pivot_table(index="gene", columns="part", values="difference", aggfunc="first")
    np.testing.assert_allclose(parts["total"], parts["within"] + parts["composition"], atol=1e-10)
    assert found(result) == {"covariate"}


def test_a_prior_shift_is_carried_by_composition():
    result = shift(*benchmark.constructed("prior", 1))
    parts = result.genes.pivot_table(index="gene", columns="part", values="difference", aggfunc="first")
    largest = parts["total"].abs().nlargest(5).index
    assert (parts.loc[largest, "composition"].abs() > parts.loc[largest, "within"].abs()).mean() >= 0.8
    assert np.corrcoef(parts["total"], parts["composition"])[0, 1] > 0.8


def test_tables_say_what_was_tested():
    result = shift(*benchmark.constructed("null", 2, n_cells=150))
    assert result.shifts["shift"].tolist() == ["covariate", "prior", "concept"]
    assert result.questions["question"].tolist() == ["P(x)", "P(y)", "P(x|y)", "P(y|x)"]
    tests = result.tests.set_index("statistic")
    assert tests.loc["total variation", "chance"] > 0
    assert set(result.tests.loc[result.tests["question"] == "P(x|y)", "label"]) == {"", "0", "1", "2"}
    # Holm: the smallest p-value four times, never below the one before.
    order = result.questions.sort_values("pvalue")
    expected = np.maximum.accumulate(np.minimum(1, order["pvalue"] * [4, 3, 2, 1]))
    np.testing.assert_allclose(order["padj"], expected)
    assert result.params["n_x"] == 150


def test_without_labels_there_is_expression_alone():
    x, y = benchmark.constructed("covariate", 0, n_cells=200)
    result = shift(x, y, labels_key=None)
    assert found(result) == {"covariate"}
    assert set(result.tests["question"]) == {"P(x)"}
    assert set(result.genes["part"]) == {"total"}
    assert "not be tested" in result.shifts.set_index("shift").loc["covariate", "reading"]
    assert result.shifts.set_index("shift")["pvalue"].isna().to_dict() == {
        "covariate": False, "prior": True, "concept": True,
    }  # fmt: skip


def test_labels_of_one_set_only():
    x, y = benchmark.constructed("null", 0, n_cells=80)
    y.obs["label"] = np.where(y.obs["label"] == "0", "new", y.obs["label"].astype(str))
    result = shift(x, y)
    new = result.tests[result.tests["label"] == "new"].set_index("question")
    assert new.loc["P(y)", ["n_x", "n_y"]].tolist() == [0, (y.obs["label"] == "new").sum()]
    assert np.isnan(new.loc["P(x|y)", "pvalue"])
    x.obs["label"], y.obs["label"] = "one", "other"
    result = shift(x, y)
    assert result.questions.set_index("question")["padj"].isna().to_dict() == {
        "P(x)": False, "P(y)": False, "P(x|y)": True, "P(y|x)": True,
    }  # fmt: skip
    assert not result.shifts.set_index("shift").loc["prior", "found"]


def test_a_given_representation_and_other_data():
    x, y = benchmark.constructed("null", 0, n_cells=80)
    for cells in (x, y):
        cells.obsm["latent"] = cells.obsm["latent"].copy()
    y.obsm["latent"] += 2
    assert found(shift(x, y, use_rep="latent", labels_key=None)) == {"covariate"}
    assert found(shift(x, y)) == set()
    dense = x.copy()
    dense.X = np.log1p(x.X.toarray())
    assert found(shift(dense, dense.copy(), labels_key=None)) == set()


def test_genes_in_another_order_are_the_same_genes():
    x, y = benchmark.constructed("covariate", 0, n_cells=60)
    turned = y[:, y.var_names[::-1]].copy()
    first, second = (shift(x, other, labels_key=None).genes for other in (y, turned))
    assert first["z"].tolist() == second["z"].tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"labels_key": "nowhere"}, KeyError, "labels_key='nowhere'"),
        ({"use_rep": "nowhere"}, KeyError, "use_rep='nowhere'"),
        ({"layer": "nowhere"}, KeyError, "nowhere"),
        ({"n_permutations": 0}, ValueError, "n_permutations=0"),
        ({"alpha": 1.0}, ValueError, "alpha=1.0"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        shift(*benchmark.constructed("null", 0, n_cells=30), **arguments)


def test_bad_cells():
    x, y = benchmark.constructed("null", 0, n_cells=30)
    with pytest.raises(ValueError, match="has 5 cells"):
        shift(x[:5], y)
    with pytest.raises(ValueError, match="need the same genes"):
        shift(x[:, :10], y)
    with pytest.raises(TypeError, match="`y` is ndarray"):
        shift(x, y.X.toarray())
    y.obs["label"] = np.where(np.arange(30) == 0, None, "a")
    with pytest.raises(ValueError, match="1 missing values"):
        shift(x, y)


def test_species_of_the_pancreas(data_dir):
    pancreas = scgauge.datasets.baron_cider()
    species = [pancreas[pancreas.obs["species"] == name].copy() for name in ("human", "mouse")]
    assert all(isinstance(part, ad.AnnData) for part in species)
    result = shift(*species, labels_key="cell_type", n_permutations=99, n_top_genes=200)
    # Cells of one type differ between the species, whatever their proportions.
    differs = result.questions.set_index("question")["differs"]
    assert differs["P(x|y)"]
    assert not differs["P(y)"]
    # No cell of one species lies where cells of the other are: what labels mean cannot be compared there.
    assert result.tests.set_index("statistic").loc["overlap", "value"] < 0.05
    assert found(result) == {"covariate"}
