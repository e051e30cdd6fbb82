import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples

import scgauge


def embedded(n=90, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(["T", "B", "NK/other"], n, p=[0.6, 0.3, 0.1])
    adata = ad.AnnData(np.ones((n, 2), dtype="f4"))
    adata.obs["type"] = pd.Categorical(labels, categories=["T", "B", "NK/other", "unused"])
    adata.obsm["X_latent"] = rng.normal(size=(n, 4)) + 2 * (labels == "B")[:, None]
    return adata


def overall(adata, key="latent_distances"):
    scores = adata.uns[key]["scores"]
    return scores[scores["scope"] == "overall"].set_index("statistic")["value"]


def by_group(adata):
    scores = adata.uns["latent_distances"]["scores"]
    return scores[scores["scope"] == "group"].pivot(index="group", columns="statistic", values="value")


def test_scores_equal_scipy_and_sklearn():
    adata = embedded()
    assert scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type") is None
    points, labels = adata.obsm["X_latent"], adata.obs["type"].to_numpy()
    distances = cdist(points, points)
    upper = np.triu(np.ones_like(distances, dtype=bool), 1)
    same = labels[:, None] == labels[None, :]
    widths = silhouette_samples(points, labels)
    scores = overall(adata)
    # Float64 throughout, sums in another order.
    np.testing.assert_allclose(scores["within"], distances[upper & same].mean(), rtol=1e-10)
    np.testing.assert_allclose(scores["between"], distances[upper & ~same].mean(), rtol=1e-10)
    np.testing.assert_allclose(scores["ratio"], scores["within"] / scores["between"], rtol=1e-12)
    np.testing.assert_allclose(scores["silhouette"], widths.mean(), rtol=1e-9)
    table = by_group(adata)
    for group in ("T", "B", "NK/other"):
        inside = labels == group
        np.testing.assert_allclose(table.loc[group, "between"], distances[np.ix_(inside, ~inside)].mean(), rtol=1e-10)
        np.testing.assert_allclose(table.loc[group, "silhouette"], widths[inside].mean(), rtol=1e-9)
    assert list(adata.uns["latent_distances"]["scores"]) == ["statistic", "scope", "group", "value"]


def test_cells_are_sorted_by_category_and_distances_belong_to_them():
    adata = embedded()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    result = adata.uns["latent_distances"]
    cells = result["cells"]
    assert cells["group"].drop_duplicates().tolist() == ["T", "B", "NK/other"]
    assert sorted(cells["index"]) == list(range(90))
    assert (adata.obs_names[cells["index"]] == cells["cell"]).all()
    assert (adata.obs["type"].iloc[cells["index"]].astype(str).to_numpy() == cells["group"].to_numpy()).all()
    points = adata.obsm["X_latent"][cells["index"]]
    # Stored as float32.
    np.testing.assert_allclose(result["distances"], cdist(points, points), rtol=1e-6)
    assert result["distances"].dtype == np.float32


def test_a_matrix_of_several_blocks(monkeypatch):
    adata = embedded()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    monkeypatch.setattr("scgauge.metrics._distances.rows_per_block", lambda n_columns: 17)
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", key_added="blocks")
    # The same float32 numbers up to the last digit.
    np.testing.assert_allclose(adata.uns["blocks"]["distances"], adata.uns["latent_distances"]["distances"], rtol=1e-6)


def test_the_picture_is_a_stratified_sample_and_the_scores_are_not():
    adata = embedded(400)
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", n_max=50, rng=0)
    result = adata.uns["latent_distances"]
    assert result["distances"].shape == (50, 50)
    shares = adata.obs["type"].value_counts(normalize=True)[["T", "B", "NK/other"]]
    drawn = result["cells"]["group"].value_counts()[["T", "B", "NK/other"]]
    assert (abs(drawn - 50 * shares) < 1).all()
    assert result["params"]["n_cells_scored"] == 400
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", key_added="all")
    pd.testing.assert_series_equal(overall(adata), overall(adata, "all"))


def test_scores_of_a_sample_are_close_and_said_to_be_of_a_sample():
    adata = embedded(400)
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", key_added="all")
    samples = []
    for seed in range(15):
        scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", n_max_scores=100, rng=seed)
        samples.append(overall(adata))
    assert adata.uns["latent_distances"]["params"]["n_cells_scored"] == 100
    samples = pd.DataFrame(samples)
    assert (abs(samples.mean() - overall(adata, "all")) < 5 * samples.std() / np.sqrt(15)).all()


def test_seed():
    adata = embedded(200)
    drawn = []
    for rng in (0, np.random.default_rng(0), 1):
        scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", n_max=40, rng=rng)
        drawn.append(adata.uns["latent_distances"]["cells"]["index"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("labels", [[0, 1], [True, False], ["a", "b"]], ids=["int", "bool", "text"])
def test_kinds_of_labels(labels):
    adata = embedded(20)
    adata.obs["label"] = labels * 10
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="label")
    assert set(by_group(adata).index) == set(map(str, labels))


def test_a_label_with_one_cell_has_no_distance_within():
    adata = embedded(20)
    adata.obs["type"] = ["T"] * 19 + ["B"]
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    assert by_group(adata).loc["B", ["within", "ratio"]].isna().all()
    assert by_group(adata).loc["B", "silhouette"] == 0


@pytest.mark.parametrize("file", ["h5ad", "zarr"])
def test_result_survives_a_file(file, tmp_path):
    adata = embedded()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", n_max=30, rng=np.random.default_rng(1))
    path = tmp_path / f"cells.{file}"
    (adata.write_h5ad if file == "h5ad" else adata.write_zarr)(path)
    read = (ad.read_h5ad(path) if file == "h5ad" else ad.read_zarr(path)).uns["latent_distances"]
    written = adata.uns["latent_distances"]
    assert set(read) == set(written) == {"params", "scores", "cells", "distances"}
    assert read["params"] == written["params"]
    assert np.array_equal(read["distances"], written["distances"])
    for table in ("scores", "cells"):
        # anndata may read text as another pandas dtype and the index as text.
        assert read[table].to_numpy().tolist() == written[table].to_numpy().tolist()
        assert list(read[table]) == list(written[table])


def test_copy_leaves_the_input_alone():
    adata = embedded()
    result = scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", copy=True)
    assert "latent_distances" in result.uns
    assert not adata.uns


def changed(**obs):
    adata = embedded(20)
    for key, values in obs.items():
        adata.obs[key] = values
    adata.obsm["nan"] = np.where(np.arange(20)[:, None] == 3, np.nan, 1.0)
    adata.obsm["same"] = np.ones((20, 2))
    return adata


@pytest.mark.parametrize(
    ("adata", "arguments", "error", "match"),
    [
        pytest.param(np.ones((2, 2)), {}, TypeError, "`adata` is ndarray", id="array"),
        pytest.param(
            changed(), {"use_rep": "X_no"}, KeyError, "Did not find use_rep='X_no' in adata.obsm", id="no-rep"
        ),
        pytest.param(changed(), {"groupby": "no"}, KeyError, "Did not find groupby='no' in adata.obs", id="no-labels"),
        pytest.param(changed(), {"use_rep": "nan"}, ValueError, "with 1 values that are NaN or infinite", id="nan"),
        pytest.param(changed(), {"use_rep": "same"}, ValueError, "All points of `x` are the same", id="same-place"),
        pytest.param(changed(type="T"), {}, ValueError, "one group only, 'T'", id="one-label"),
        pytest.param(
            changed(type=np.arange(20)), {}, ValueError, "Each of the 20 groups has one point", id="all-alone"
        ),
        pytest.param(
            changed(type=[None] + ["a"] * 19), {}, ValueError, "1 missing values; groupby needs", id="missing"
        ),
        pytest.param(changed(), {"n_max": 2}, ValueError, "n_max=2 is too small for the 3 labels", id="n_max"),
        pytest.param(changed(), {"n_max_scores": 3}, ValueError, "n_max_scores=3 is too small", id="n_max_scores"),
        pytest.param(changed(), {"key_added": "a/b"}, ValueError, "has a '/'", id="slash"),
        pytest.param(changed()[:1].copy(), {}, ValueError, "one group only", id="one-cell"),
    ],
)
def test_bad_input_changes_nothing(adata, arguments, error, match):
    with pytest.raises(error, match=match):
        scgauge.tl.latent_distances(adata, **{"use_rep": "X_latent", "groupby": "type", **arguments})
    if isinstance(adata, ad.AnnData):
        assert not adata.uns
