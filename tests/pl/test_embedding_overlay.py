import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import scgauge
from scgauge.pl._figure import BACKGROUND, REAL, SYNTHETIC


def embedded(n=40, seed=0, n_types=3):
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(np.ones((n, 1), dtype="f4"))
    adata.obsm["X_umap"] = rng.normal(size=(n, 2)) + seed
    adata.obs["type"] = pd.Categorical.from_codes(np.arange(n) % n_types, [f"t{i}" for i in range(n_types)])
    return adata


def rows(points):
    return sorted(map(tuple, np.asarray(points).round(9)))


def test_all_cells_are_drawn_in_the_colour_of_their_source():
    real, synthetic = embedded(), embedded(30, seed=5)
    panel = scgauge.pl.embedding_overlay(real, synthetic, show=False)
    assert isinstance(panel, Axes)
    (dots,) = panel.collections
    points, colors = np.asarray(dots.get_offsets()), dots.get_facecolors()
    for adata, color in ((real, REAL), (synthetic, SYNTHETIC)):
        of_source = np.isclose(colors[:, :3], to_rgba(color)[:3]).all(axis=1)
        assert rows(points[of_source]) == rows(adata.obsm["X_umap"])
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["real (40)", "synthetic (30)"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("UMAP 1", "UMAP 2")


def test_neither_source_lies_on_top_of_the_other():
    (dots,) = scgauge.pl.embedding_overlay(embedded(200), embedded(200, seed=5), show=False).collections
    is_real = np.isclose(dots.get_facecolors()[:, :3], to_rgba(REAL)[:3]).all(axis=1)
    # Mean position in the drawing order: 199.5 with the standard deviation 5.8 for a random order.
    assert abs(np.flatnonzero(is_real).mean() - 199.5) < 5 * 5.8


def test_second_panel_shows_labels_of_the_real_cells():
    real, synthetic = embedded(), embedded(30, seed=5)
    axes = scgauge.pl.embedding_overlay(real, synthetic, groupby="type", show=False)
    grey, labelled = axes[1].collections
    assert rows(grey.get_offsets()) == rows(synthetic.obsm["X_umap"])
    assert np.allclose(grey.get_facecolors()[0], to_rgba(BACKGROUND))
    assert grey.get_zorder() < labelled.get_zorder()
    color_of = {handle.get_label(): to_rgba(handle.get_color()) for handle in axes[1].get_legend().legend_handles}
    assert list(color_of) == ["t0", "t1", "t2", "synthetic"]
    at = {
        tuple(point): tuple(color)
        for point, color in zip(labelled.get_offsets(), labelled.get_facecolors(), strict=True)
    }
    for point, label in zip(real.obsm["X_umap"], real.obs["type"], strict=True):
        assert at[tuple(point)] == pytest.approx(color_of[label])
    assert axes[1].get_legend().get_title().get_text() == "type"


def test_parts_of_a_joint_object_and_more_dimensions():
    both = ad.concat([embedded(), embedded(30, seed=5)], label="source", keys=["real", "synthetic"], index_unique="-")
    both.obsm["X_pca"] = np.random.default_rng(0).normal(size=(70, 5))
    real, synthetic = both[both.obs["source"] == "real"], both[both.obs["source"] == "synthetic"]
    panel = scgauge.pl.embedding_overlay(real, synthetic, basis="X_pca", show=False)
    assert rows(panel.collections[0].get_offsets()) == rows(both.obsm["X_pca"][:, :2])
    assert panel.get_xlabel() == "PCA 1"
    both.obsm["X_embed_tsne"] = both.obsm["X_pca"]
    real, synthetic = both[both.obs["source"] == "real"], both[both.obs["source"] == "synthetic"]
    assert scgauge.pl.embedding_overlay(real, synthetic, basis="X_embed_tsne", show=False).get_ylabel() == "t-SNE 2"


def test_more_cells_have_smaller_dots():
    sizes = []
    for n in (50, 5000):
        panel = scgauge.pl.embedding_overlay(embedded(n), embedded(n, seed=1), show=False)
        sizes.append(panel.collections[0].get_sizes()[0])
    assert sizes[0] > sizes[1] > 0


@pytest.mark.parametrize("n_types", [3, 25])
def test_legends_stand_beside_the_cells_and_inside_the_figure(n_types):
    figure = scgauge.pl.embedding_overlay(
        embedded(100, n_types=n_types), embedded(seed=5), groupby="type", return_fig=True
    )
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    for panel in figure.axes:
        box = panel.get_legend().get_window_extent()
        assert box.x0 > panel.get_window_extent().x1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= 0


def test_given_axes():
    _, grid = plt.subplots(1, 2)
    assert scgauge.pl.embedding_overlay(embedded(), embedded(), groupby="type", ax=grid) == list(grid)
    with pytest.raises(ValueError, match="`ax` has 2 Axes; this figure has 1 panels"):
        scgauge.pl.embedding_overlay(embedded(), embedded(), ax=grid)


def changed(**slots):
    adata = embedded()
    for key, value in slots.items():
        adata.obsm[key] = value
    adata.obs["gaps"] = [None] + ["a"] * 39
    return adata


@pytest.mark.parametrize(
    ("real", "arguments", "error", "match"),
    [
        pytest.param(np.ones((2, 2)), {}, TypeError, "`real` is ndarray", id="array"),
        pytest.param(changed(), {"basis": "X_no"}, KeyError, r"Did not find basis='X_no' in real.obsm", id="no-basis"),
        pytest.param(
            changed(X_tsne=np.ones((40, 2))), {"basis": "X_tsne"}, KeyError, "in synthetic.obsm", id="not-both"
        ),
        pytest.param(changed(X_umap=np.full((40, 2), np.nan)), {}, ValueError, "80 values that are NaN", id="nan"),
        pytest.param(changed(X_umap=np.ones((40, 1))), {}, ValueError, "has 1 column; two are needed", id="one-column"),
        pytest.param(changed(), {"groupby": "no"}, KeyError, "Did not find groupby='no'", id="no-labels"),
        pytest.param(changed(), {"groupby": "gaps"}, ValueError, "has 1 missing values", id="missing"),
    ],
)
def test_bad_input(real, arguments, error, match):
    with pytest.raises(error, match=match):
        scgauge.pl.embedding_overlay(real, embedded(), **arguments, show=False)
    assert not plt.get_fignums()
