import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scgauge


def cells(n, **obs):
    adata = ad.AnnData(np.ones((n, 2), dtype="f4"))
    for key, values in obs.items():
        adata.obs[key] = values
    return adata


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=15).filter(lambda sizes: sum(sizes) >= 40),
    fractions=st.sampled_from([(0.8, 0.1, 0.1), (0.7, 0.3), (0.5, 0.25, 0.25), (0.9, 0, 0.1)]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)  # the first call imports
def test_every_group_is_within_one_cell_of_its_shares(sizes, fractions, seed):
    group = np.repeat([f"g{i}" for i in range(len(sizes))], sizes)
    adata = cells(len(group), group=group)
    scgauge.pp.split(adata, fractions=fractions, groupby="group", rng=seed)
    table = pd.crosstab(adata.obs["group"], adata.obs["split"])
    for part, share in zip(["train", "validation", "test"], fractions, strict=False):
        if share == 0:
            assert part not in table
            continue
        assert (abs(table[part] - share * table.sum(axis=1)) < 1).all()
        assert abs(table[part].sum() - share * len(group)) < 2


def test_many_small_groups_together_keep_the_shares():
    # Rounding each group of three on its own would leave no cell at all for validation and test.
    adata = cells(300, group=np.repeat(np.arange(100), 3))
    scgauge.pp.split(adata, groupby="group", rng=0)
    assert adata.obs["split"].value_counts().to_dict() == pytest.approx(
        {"train": 240, "validation": 30, "test": 30}, abs=2
    )


def test_exact_shares_stay_exact():
    adata = cells(10)
    scgauge.pp.split(adata, fractions=(0.7, 0.2, 0.1), rng=0)
    assert adata.obs["split"].value_counts().to_dict() == {"train": 7, "validation": 2, "test": 1}


def test_every_cell_is_equally_likely_to_be_a_test_cell():
    group = np.repeat(["a", "b"], [35, 5])
    adata = cells(40, group=group)
    hits = np.zeros(40)
    for seed in range(400):
        scgauge.pp.split(adata, groupby="group", rng=seed)
        hits += (adata.obs["split"] == "test").to_numpy()
    # Binomial(400, 0.1) has the standard deviation 6.
    assert (abs(hits - 40) < 5 * 6).all()
    assert hits.sum() == pytest.approx(400 * 4, rel=0.05)


def test_categories_follow_the_fractions():
    adata = cells(20)
    scgauge.pp.split(adata, fractions=(0.8, 0.2), rng=0)
    assert adata.obs["split"].cat.categories.tolist() == ["train", "validation"]
    scgauge.pp.split(adata, fractions=(0.8, 0.0, 0.2), rng=0, key_added="other")
    assert adata.obs["other"].cat.categories.tolist() == ["train", "test"]


@pytest.mark.parametrize("groupby", [None, "type"])
@pytest.mark.parametrize("seed", range(5))
def test_subjects_stay_together_and_parts_keep_their_shares(groupby, seed):
    rng = np.random.default_rng(seed)
    donor = rng.integers(0, 30, 1500)
    adata = cells(1500, donor=donor, type=rng.choice(["a", "b", "c"], 1500, p=[0.6, 0.3, 0.1]))
    scgauge.pp.split(adata, groupby=groupby, subject_key="donor", rng=seed)
    assert (adata.obs.groupby("donor", observed=True)["split"].nunique() == 1).all()
    shares = adata.obs["split"].value_counts(normalize=True)
    # A donor is 3.3 % of the cells.
    np.testing.assert_allclose(shares[["train", "validation", "test"]], [0.8, 0.1, 0.1], atol=0.034)
    if groupby:
        by_type = pd.crosstab(adata.obs["type"], adata.obs["split"], normalize="index")
        np.testing.assert_allclose(by_type["train"], 0.8, atol=0.1)


def test_stratification_by_subject_does_better_than_none():
    # Donors have either type; without stratification the test cells are often all of one type.
    donor = np.repeat(np.arange(20), 10)
    kind = np.where(donor < 10, "a", "b")
    balanced = []
    for groupby in ("type", None):
        adata = cells(200, donor=donor, type=kind)
        per_seed = []
        for seed in range(20):
            scgauge.pp.split(adata, fractions=(0.8, 0, 0.2), groupby=groupby, subject_key="donor", rng=seed)
            test = adata.obs["split"] == "test"
            per_seed.append((adata.obs["type"][test] == "a").mean())
        balanced.append(np.mean(np.abs(np.array(per_seed) - 0.5)))
    assert balanced[0] == 0
    assert balanced[1] > 0.05


def test_as_many_subjects_as_parts():
    adata = cells(100, donor=np.repeat(["x", "y", "z"], [90, 5, 5]))
    scgauge.pp.split(adata, subject_key="donor", rng=0)
    assert adata.obs.groupby("split", observed=True)["donor"].first().to_dict()["train"] == "x"
    assert adata.obs["split"].nunique() == 3


def test_different_subjects_are_tested_with_different_seeds():
    adata = cells(200, donor=np.repeat(np.arange(20), 10))
    tested = set()
    for seed in range(30):
        scgauge.pp.split(adata, subject_key="donor", rng=seed)
        tested |= set(adata.obs["donor"][adata.obs["split"] == "test"])
    assert len(tested) > 15


def test_seed_and_generator():
    adata = cells(100)
    results = []
    for rng in (3, np.random.default_rng(3), 4):
        scgauge.pp.split(adata, rng=rng)
        results.append(adata.obs["split"].to_list())
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("file", ["h5ad", "zarr"])
def test_result_survives_a_file(file, tmp_path):
    adata = cells(30, donor=np.repeat(["x", "y", "z"], 10))
    scgauge.pp.split(adata, subject_key="donor", rng=np.random.default_rng(0))
    path = tmp_path / f"cells.{file}"
    (adata.write_h5ad if file == "h5ad" else adata.write_zarr)(path)
    read = ad.read_h5ad(path) if file == "h5ad" else ad.read_zarr(path)
    assert read.obs["split"].tolist() == adata.obs["split"].tolist()
    params = read.uns["split"]["params"]
    assert list(params["fractions"]) == [0.8, 0.1, 0.1]
    assert (params["subject_key"], params["groupby"], params["rng"]) == ("donor", None, "Generator")


def test_copy_leaves_the_input_alone():
    adata = cells(30)
    result = scgauge.pp.split(adata, copy=True, rng=0)
    assert "split" in result.obs
    assert "split" not in adata.obs
    assert "split" not in adata.uns


@pytest.mark.parametrize(
    ("n", "arguments", "error", "match"),
    [
        pytest.param(1, {}, ValueError, "Found 1 cells, fewer than the 3 parts", id="one-cell"),
        pytest.param(4, {}, ValueError, r"4 cells are too few for .* no cell is left for", id="few-cells"),
        pytest.param(
            30,
            {"subject_key": "donor"},
            ValueError,
            r"Found 2 subjects in adata.obs\['donor'\], fewer",
            id="two-subjects",
        ),
        pytest.param(30, {"groupby": "no"}, KeyError, "Did not find groupby='no' in adata.obs", id="no-groupby"),
        pytest.param(30, {"subject_key": "no"}, KeyError, "Did not find subject_key='no'", id="no-subject"),
        pytest.param(30, {"groupby": "gaps"}, ValueError, "has 1 missing values; groupby needs", id="missing"),
        pytest.param(30, {"fractions": (1.0,)}, ValueError, "needs three numbers", id="one-fraction"),
        pytest.param(30, {"fractions": "most"}, ValueError, "needs three numbers", id="word"),
        pytest.param(30, {"fractions": (0.8, 0.3)}, ValueError, "sum to 1", id="sum"),
        pytest.param(30, {"fractions": (1.2, -0.2)}, ValueError, "at least 0", id="negative"),
        pytest.param(30, {"fractions": (np.nan, 0.5, 0.5)}, ValueError, "at least 0, sum to 1", id="nan"),
        pytest.param(30, {"fractions": (0, 0.5, 0.5)}, ValueError, "leave cells to train on", id="no-training"),
        pytest.param(30, {"key_added": "a/b"}, ValueError, "has a '/'", id="slash"),
    ],
)
def test_bad_input_changes_nothing(n, arguments, error, match):
    adata = cells(n, donor=np.arange(n) % 2, gaps=[None] + ["a"] * (n - 1))
    before = adata.obs.copy()
    with pytest.raises(error, match=match):
        scgauge.pp.split(adata, rng=0, **arguments)
    pd.testing.assert_frame_equal(adata.obs, before)
    assert not adata.uns


def test_needs_an_anndata():
    with pytest.raises(TypeError, match="`adata` is DataFrame; an AnnData is needed"):
        scgauge.pp.split(pd.DataFrame())
