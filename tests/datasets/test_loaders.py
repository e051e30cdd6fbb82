"""Public data as their loaders return them, against what the sources say of themselves."""

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from scipy import sparse

from scgauge import datasets

pytestmark = pytest.mark.usefixtures("data_dir")

#: Loader, arguments, cells, genes.
SETS = {
    "worm_embryo": (datasets.worm_embryo, {}, 1805, 10000),
    "klein2015_subset": (datasets.klein2015_subset, {}, 1000, 900),
    "schiebinger_moscot1000": (datasets.schiebinger_moscot1000, {}, 1000, 1479),
    "zeisel2015_descend": (datasets.zeisel2015_descend, {}, 1464, 1000),
    "pbmc_scvijl": (datasets.pbmc_scvijl, {}, 7480, 200),
    "pbmc_facs": (datasets.pbmc_facs, {}, 3774, 16791),
    "pbmc_facs test": (datasets.pbmc_facs, {"split": "test"}, 100, 16791),
    "hemato_tusi2018": (datasets.hemato_tusi2018, {}, 4790, 28205),
    "hemato_tusi2018 all": (datasets.hemato_tusi2018, {"filtered": False}, 6933, 28205),
    "covid_balf_liao2020": (datasets.covid_balf_liao2020, {}, 3716 + 4111, 33539),
    "scgen_kang": (datasets.scgen_kang, {}, 1975, 6998),
    "baron_cider": (datasets.baron_cider, {}, 350, 12474),
    "sc_mixology sc_celseq2": (datasets.sc_mixology, {"kind": "sc_celseq2"}, 274, 28204),
    "sc_mixology sc_dropseq": (datasets.sc_mixology, {"kind": "sc_dropseq"}, 225, 15127),
    "sc_mixology RNAmix_celseq2": (datasets.sc_mixology, {"kind": "RNAmix_celseq2"}, 340, 14804),
    "sc_mixology RNAmix_sortseq": (datasets.sc_mixology, {"kind": "RNAmix_sortseq"}, 296, 15571),
}


@pytest.fixture(scope="module")
def load():
    kept = {}

    def one(name: str):
        if name not in kept:
            loader, arguments, *_ = SETS[name]
            kept[name] = loader(**arguments)
        return kept[name]

    return one


@pytest.mark.parametrize("name", SETS)
def test_counts_and_names(load, name, tmp_path):
    adata = load(name)
    assert adata.shape == SETS[name][2:]
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.float32
    assert (adata.X.data > 0).all()
    np.testing.assert_array_equal(adata.X.data, np.rint(adata.X.data))
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    note = adata.uns["scgauge_dataset"]
    assert note["name"] in name
    assert all(note[key] for key in ("citation", "licence", "source"))
    small = adata[:3, :4].copy()
    small.write_h5ad(tmp_path / "small.h5ad")
    assert read_h5ad(tmp_path / "small.h5ad").uns["scgauge_dataset"]["citation"] == note["citation"]


def _counts(adata, key: str) -> dict:
    return adata.obs[key].value_counts().to_dict()


def test_time_series(load):
    klein = load("klein2015_subset")
    assert _counts(klein, "time") == {0.0: 359, 2.0: 101, 4.0: 248, 7.0: 292}
    assert klein.uns["scgauge_dataset"]["time_unit"] == "days"
    schiebinger = load("schiebinger_moscot1000")
    assert _counts(schiebinger, "time") == {10.0: 318, 10.5: 316, 11.0: 366}
    assert schiebinger.obs["cell_type"].nunique() == 6
    assert schiebinger.uns["scgauge_dataset"]["residual"] < 1e-3
    worm = load("worm_embryo")
    assert worm.uns["scgauge_dataset"]["time_unit"] == "hours"
    assert worm.obs["time"].min() == 210 / 60
    assert worm.obs["time"].max() == 780 / 60
    assert worm.obs["time_bin"].nunique() == 8
    assert worm.obs["batch"].nunique() == 7
    assert worm.obs["cell_type"].nunique() == 9
    assert worm.obs.isna().sum().to_dict() == {key: 106 * (key == "lineage") for key in worm.obs}
    assert list(klein.var_names[:3]) == ["Rn28s1", "Rn45s", "Actg1"]


def test_blood(load):
    assert load("pbmc_facs").obs["cell_type"].nunique() == 10
    assert load("pbmc_facs").obs["subpopulation"].nunique() == 5
    assert load("pbmc_scvijl").obs["cell_type"].nunique() == 7
    assert load("pbmc_scvijl").obs["cell_type"].isna().sum() == 32
    kang = load("scgen_kang")
    assert _counts(kang, "condition") == {"stimulated": 1039, "control": 936}
    assert kang.obs["cell_type"].nunique() == 7
    assert _counts(load("covid_balf_liao2020"), "patient") == {"C146": 4111, "C144": 3716}
    severe = load("covid_balf_liao2020").obs.query("patient == 'C146'")["severity"]
    assert set(severe) == {"severe"}
    assert load("covid_balf_liao2020").var.loc["CD8A", "gene_id"] == "ENSG00000153563"


def test_tissue(load):
    zeisel = load("zeisel2015_descend")
    expected = {"pyramidal CA1": 939, "interneurons": 290, "endothelial-mural": 235}
    assert _counts(zeisel, "cell_type") == expected
    assert zeisel.obsm["spike_ins"].shape == (1464, 57)
    assert len(zeisel.uns["scgauge_dataset"]["spike_in_molecules"]) == 57
    # Cells of the annotation are those of the counts, in order: a part of the genes cannot have more than all.
    assert (np.asarray(zeisel.X.sum(1)).ravel() <= zeisel.obs["library_size"]).all()
    baron = load("baron_cider")
    assert set(_counts(baron, "cell_type").values()) == {70}
    assert baron.obs["species"].nunique() == 2
    assert baron.obs["sample"].nunique() == 6
    assert set(_counts(load("sc_mixology sc_dropseq"), "cell_line")) == {"H1975", "H2228", "HCC827"}
    shares = load("sc_mixology RNAmix_celseq2").obs[["H2228_prop", "H1975_prop", "HCC827_prop"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.011)


def test_kept_progenitors_have_the_published_numbers_of_counts(load, data_dir):
    adata, everything = load("hemato_tusi2018"), load("hemato_tusi2018 all")
    published = np.loadtxt(data_dir / "hemato_tusi2018" / "hpc_full" / "total_counts.txt")
    np.testing.assert_array_equal(np.asarray(adata.X.sum(1)).ravel(), published)
    assert adata.obsm["X_spring"].shape == (4790, 2)
    assert everything.obs["library"].value_counts().to_dict() == {"P11B": 1891, "P11A": 1832, "P9A": 1817, "P12A": 1393}
    first = pd.read_csv(data_dir / "hemato_tusi2018" / "P9A.counts.tsv.gz", sep="\t", index_col=0, nrows=5)
    np.testing.assert_array_equal(everything.X[:5].toarray(), first.to_numpy())


def test_kept_progenitors_are_those_with_many_and_few_mitochondrial_counts(load):
    # The loader finds them by total counts alone: that a rule of quality gives the same ones shows that they are right.
    adata, everything = load("hemato_tusi2018"), load("hemato_tusi2018 all")
    total = np.asarray(everything.X.sum(1)).ravel()
    mitochondrial = np.asarray(everything.X[:, everything.var_names.str.startswith("mt-")].sum(1)).ravel() / total
    threshold = everything.obs["library"].map({"P9A": 900, "P11A": 700, "P11B": 800, "P12A": 800}).to_numpy(dtype=float)
    by_quality = (mitochondrial < 0.15) & (total > threshold)
    assert list(everything.obs_names[by_quality]) == list(adata.obs_names)


def test_second_call_reads_the_cache_and_returns_the_same(load, monkeypatch):
    expected = load("hemato_tusi2018 all")
    monkeypatch.setattr("scgauge.datasets._tissue._all_barcodes", lambda: pytest.fail("read from the source again"))
    again = datasets.hemato_tusi2018(filtered=False)
    assert (again.X != expected.X).nnz == 0
    pd.testing.assert_frame_equal(again.obs, expected.obs)
    pd.testing.assert_frame_equal(again.var, expected.var)


def test_tasic_equals_the_assembled_file(data_dir):
    adata = datasets.tasic2016()
    assembled = read_h5ad(data_dir / "tasic2016" / "tasic2016_1525x180_sfnorm.h5ad")
    assert list(adata.var_names) == list(assembled.var_names)
    dense = assembled.X.toarray() if sparse.issparse(assembled.X) else assembled.X
    np.testing.assert_allclose(adata.X, dense, rtol=1e-6)
    assert list(adata.obs["cell_type"]) == list(assembled.obs["cell_type"])
    assert adata.obs["neuron"].value_counts().to_dict() == {"Glutamate": 764, "GABA": 761}
    assert "not integers" in adata.uns["scgauge_dataset"]["values"]


def test_clinical_visits():
    visits = datasets.clinical_dummy_smartcare()
    assert visits.shape == (3782, 70)
    assert visits.var["instrument"].value_counts().to_dict() == {"test1": 40, "test2": 30}
    assert visits.obsm["baseline"].shape == (3782, 40)
    taken = ~np.isnan(visits.X[:, :40])
    assert set(taken.sum(1)) == {0, 40}
    assert taken.any(1).sum() == 3018
    same = visits.obsm["baseline"].groupby(visits.obs["subject"].astype(str).to_numpy()).nunique()
    assert same.to_numpy().max() == 1
    assert visits.obs["subject"].nunique() == 499
    assert (visits.obs["time"].min(), visits.obs["time"].max()) == (0, 10)


@pytest.mark.parametrize(("name", "n_sets"), [("hallmark", 50), ("kegg", 186), ("reactome", 1615), ("panglaodb", 178)])
def test_gene_sets(name, n_sets):
    sets = datasets.gene_sets(name)
    assert len(sets) == n_sets
    assert all(genes and "" not in genes for genes in sets.values())


def test_hallmark_of_interferon():
    assert "ISG15" in datasets.gene_sets("hallmark")["HALLMARK_INTERFERON_ALPHA_RESPONSE"]


def test_dorothea():
    edges = datasets.dorothea("human")
    assert len(edges) == 454504
    assert set(edges["confidence"]) == set("ABCDE")
    assert set(edges["mor"]) == {-1.0, 1.0}
    assert list(edges.columns) == ["tf", "confidence", "target", "mor"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.pbmc_facs(split="all"), "split='all' was given"),
        (lambda: datasets.sc_mixology(kind="mix"), "kind='mix' was given"),
        (lambda: datasets.gene_sets("go"), "name='go' was given"),
        (lambda: datasets.dorothea("fly"), "organism='fly' was given"),
    ],
    ids=["split", "kind", "name", "organism"],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
