import anndata as ad
import numpy as np
import pytest

import scgauge


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(np.ones((120, 2), dtype="f4"))
    adata.obsm["X_pca"] = rng.normal(size=(120, 5))
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, :2]
    adata.obsm["X_noise"] = rng.normal(size=(120, 2))
    scgauge.tl.embedding_quality(adata, basis=["X_umap", "X_noise"], n_neighbors=(5, 20), n_query=90, rng=0)
    return adata


def test_table_has_the_stored_numbers(scored):
    panel = scgauge.pl.embedding_quality(scored, show=False)
    image = np.asarray(panel.images[0].get_array())
    columns = [text.get_text() for text in panel.get_xticklabels()]
    stored = scored.uns["embedding_quality"]["scores"].set_index(["basis", "metric", "k"])["value"]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["UMAP", "noise"]
    for row, basis in enumerate(["X_umap", "X_noise"]):
        assert image[row, columns.index("recall, k=20")] == stored[basis, "recall", 20]
        assert image[row, columns.index("1 - stress")] == 1 - stored[basis, "stress", 0]
    numbers = [text.get_text() for text in panel.texts]
    assert numbers == [f"{value:.2f}" for value in image.ravel()]
    bold = [text.get_fontweight() == "bold" for text in panel.texts[: len(columns)]]
    assert bold == (image[0] >= image[1]).tolist()


def test_chosen_scores_in_order(scored):
    panel = scgauge.pl.embedding_quality(scored, metrics=["spearman", "lcmc"], show=False)
    assert [t.get_text() for t in panel.get_xticklabels()] == ["Spearman of distances", "LCMC, k=5", "LCMC, k=20"]
    with pytest.raises(ValueError, match="'knc'"):
        scgauge.pl.embedding_quality(scored, metrics=["recall", "knc"])


def test_curves(scored):
    panel = scgauge.pl.rnx(scored, show=False)
    stored = scored.uns["embedding_quality"]["rnx"]
    for line, basis in zip(panel.lines, ["X_umap", "X_noise"], strict=False):
        curve = stored[stored["basis"] == basis]
        np.testing.assert_array_equal(line.get_xdata(), curve["k"])
        np.testing.assert_array_equal(line.get_ydata(), curve["rnx"])


def test_cells_are_coloured_and_others_grey(scored):
    panels = scgauge.pl.cell_quality(scored, basis="X_umap", show=False)
    for panel, metric in zip(panels, ["trustworthiness", "continuity"], strict=True):
        grey, colored = panel.collections[:2]
        values = scored.obs[f"embedding_quality_X_umap_{metric}"]
        assert len(grey.get_offsets()) == 30
        np.testing.assert_array_equal(colored.get_array(), -np.sort(-values.dropna()))
        worst = scored.obsm["X_umap"][int(values.to_numpy().argsort()[0])]
        np.testing.assert_allclose(colored.get_offsets()[-1], worst)
        assert panel.get_xlabel() == "UMAP 1"


def test_bad_input(scored):
    with pytest.raises(KeyError, match="was not scored"):
        scgauge.pl.cell_quality(scored, basis="X_pca")
    with pytest.raises(ValueError, match="rnx"):
        scgauge.pl.cell_quality(scored, basis="X_umap", metrics=["rnx"])
    without = scored.copy()
    del without.obs["embedding_quality_X_umap_recall"]
    with pytest.raises(KeyError, match="Run: scgauge.tl.embedding_quality"):
        scgauge.pl.cell_quality(without, basis="X_umap", metrics=["recall"])
    line = scored.copy()
    line.obsm["X_umap"] = line.obsm["X_umap"][:, :1]
    with pytest.raises(ValueError, match="two are needed"):
        scgauge.pl.cell_quality(line, basis="X_umap")
    for plot in (scgauge.pl.embedding_quality, scgauge.pl.rnx):
        with pytest.raises(KeyError, match="Run: scgauge.tl.embedding_quality"):
            plot(scored, key="nowhere")


def test_shepard_has_a_panel_for_each_embedding():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(np.ones((80, 1), dtype="f4"), obsm={"X_pca": rng.normal(size=(80, 5))})
    adata.obsm["X_embed_tsne"], adata.obsm["X_far"] = adata.obsm["X_pca"][:, :2], rng.normal(size=(80, 2))
    scgauge.tl.embedding_quality(adata, basis=["X_embed_tsne", "X_far"], n_neighbors=5, rng=0)
    axes = scgauge.pl.shepard(adata, show=False)
    assert [panel.get_title().split(":")[0] for panel in axes] == ["t-SNE", "far"]
    points = axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], adata.uns["embedding_quality"]["pairs"]["shown"][: len(points)])
