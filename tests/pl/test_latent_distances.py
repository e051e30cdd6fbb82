import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scgauge
from scgauge.pl._figure import group_colors


def measured(n_groups=3, n=90):
    rng = np.random.default_rng(0)
    codes = np.sort(rng.integers(0, n_groups, n))
    adata = ad.AnnData(np.ones((n, 1), dtype="f4"))
    adata.obs["type"] = pd.Categorical.from_codes(codes, [f"type {n_groups - code}" for code in range(n_groups)])
    adata.obsm["X_latent"] = rng.normal(size=(n, 3)) + codes[:, None]
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    return adata


def test_the_image_is_the_distance_matrix():
    adata = measured()
    panel = scgauge.pl.latent_distances(adata, show=False)
    assert isinstance(panel, Axes)
    result = adata.uns["latent_distances"]
    assert np.array_equal(panel.images[0].get_array(), result["distances"])
    assert panel.images[0].get_clim() == (0, np.percentile(result["distances"], 99))


def test_strips_names_and_legend_follow_the_labels():
    adata = measured()
    panel = scgauge.pl.latent_distances(adata, show=False)
    left, below, scale = panel.child_axes
    strip = left.images[0].get_array()
    assert strip.shape == (90, 1, 3)
    assert np.array_equal(below.images[0].get_array()[0], strip[:, 0])
    cells = adata.uns["latent_distances"]["cells"]["group"].to_numpy()
    counts = pd.Series(cells).value_counts(sort=False)  # in the order of the categories, not of the alphabet
    assert [len(np.unique(strip[cells == group, 0], axis=0)) for group in counts.index] == [1, 1, 1]
    assert len(np.unique(strip[:, 0], axis=0)) == 3
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["type 3", "type 2", "type 1"]
    # A name stands at the middle of its cells.
    middles = [np.flatnonzero(cells == group).mean() for group in counts.index]
    np.testing.assert_allclose(left.get_yticks(), middles)
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts == [f"{group} ({count})" for group, count in counts.items()]
    assert [handle.get_facecolor()[:3] for handle in panel.get_legend().legend_handles] == list(
        group_colors(counts.index).values()
    )
    assert scale.get_title(loc="left") == "Euclidean distance"


def test_the_title_has_the_scores():
    adata = measured()
    panel = scgauge.pl.latent_distances(adata, show=False)
    scores = adata.uns["latent_distances"]["scores"]
    overall = scores[scores["scope"] == "overall"].set_index("statistic")["value"]
    ratio, width = overall["ratio"], overall["silhouette"]
    assert panel.get_title(loc="left") == f"within / between = {ratio:.2f}    silhouette = {width:.2f}"


def test_small_labels_are_in_the_legend_only():
    adata = ad.AnnData(np.ones((100, 1), dtype="f4"))
    adata.obs["type"] = ["a"] * 98 + ["b"] * 2
    adata.obsm["X_latent"] = np.random.default_rng(0).normal(size=(100, 2))
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type")
    panel = scgauge.pl.latent_distances(adata, show=False)
    assert [tick.get_text() for tick in panel.child_axes[0].get_yticklabels()] == ["a"]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["a (98)", "b (2)"]


@pytest.mark.parametrize("n_groups", [3, 24])
def test_nothing_leaves_the_figure_and_the_legend_covers_no_data(n_groups):
    figure = scgauge.pl.latent_distances(measured(n_groups, 200), return_fig=True)
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    panel = figure.axes[0]
    frame = figure.bbox
    for artist in (panel.get_legend(), *panel.child_axes):
        box = artist.get_tightbbox(figure.canvas.get_renderer())
        assert box.x0 >= frame.x0 - 1
        assert box.x1 <= frame.x1 + 1
        assert box.y0 >= frame.y0 - 1
    assert panel.get_legend().get_window_extent().x0 > panel.get_window_extent().x1


def test_given_axes_and_other_key():
    adata = measured()
    scgauge.tl.latent_distances(adata, use_rep="X_latent", groupby="type", n_max=20, rng=0, key_added="few")
    _, axes = plt.subplots(1, 2)
    assert scgauge.pl.latent_distances(adata, key="few", ax=axes[1]) is axes[1]
    assert axes[1].images[0].get_array().shape == (20, 20)
    assert not axes[0].images


@pytest.mark.parametrize("file", ["h5ad", "zarr"])
def test_draws_what_was_read_from_a_file(file, tmp_path):
    adata = measured()
    path = tmp_path / f"cells.{file}"
    (adata.write_h5ad if file == "h5ad" else adata.write_zarr)(path)
    read = ad.read_h5ad(path) if file == "h5ad" else ad.read_zarr(path)
    panel, expected = (scgauge.pl.latent_distances(data, show=False) for data in (read, adata))
    assert panel.get_title(loc="left") == expected.get_title(loc="left")
    assert [text.get_text() for text in panel.get_legend().get_texts()] == [
        text.get_text() for text in expected.get_legend().get_texts()
    ]


def test_adata_is_unchanged():
    adata = measured()
    before = adata.uns["latent_distances"]["distances"].copy()
    scgauge.pl.latent_distances(adata, show=False)
    assert list(adata.uns) == ["latent_distances"]
    assert np.array_equal(adata.uns["latent_distances"]["distances"], before)


def test_bad_input():
    adata = measured()
    with pytest.raises(KeyError, match=r"adata.uns\['no'\]. Run: scgauge.tl.latent_distances"):
        scgauge.pl.latent_distances(adata, key="no", show=False)
    adata.uns["other"] = {"params": {}}
    with pytest.raises(KeyError, match=r"Did not find a result in adata.uns\['other'\]"):
        scgauge.pl.latent_distances(adata, key="other", show=False)
    with pytest.raises(TypeError, match="`adata` is dict; an AnnData is needed"):
        scgauge.pl.latent_distances({}, show=False)
    with pytest.raises(TypeError, match="`ax` holds str"):
        scgauge.pl.latent_distances(adata, ax=["a"], show=False)
    assert not plt.get_fignums()
