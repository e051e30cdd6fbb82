import anndata as ad
import numpy as np
import pytest

import scgauge


def cells(n=300):
    x = np.random.default_rng(0).uniform(size=(n, 3)) * [1, 1, 0.01]
    obsm = {"X_pca": x, "X_flat": x[:, :2], "X_wide": x[:, :2] * [3, 1], "X_three": x}
    return ad.AnnData(np.ones((n, 2), dtype="f4"), obsm=obsm)


def test_what_is_written_is_what_the_metric_finds():
    adata = cells()
    scgauge.tl.embedding_distortion(adata, basis=["X_flat", "X_wide"], n_neighbors=20)
    found = scgauge.metrics.embedding_distortion(adata.obsm["X_pca"], adata.obsm["X_wide"], n_neighbors=20)
    for field in ("log_area", "anisotropy", "broken"):
        np.testing.assert_allclose(adata.obs[f"embedding_distortion_X_wide_{field}"], getattr(found, field))
    np.testing.assert_allclose(adata.obsm["embedding_distortion_X_wide_metric"], found.metric.reshape(300, 4))
    result = adata.uns["embedding_distortion"]
    scores = result["scores"].set_index(["basis", "metric"])["value"]
    assert scores["X_wide", "anisotropy_median"] == np.median(found.anisotropy)
    assert scores["X_flat", "anisotropy_median"] < 1.4 < 2.5 < scores["X_wide", "anisotropy_median"]
    assert result["params"]["bandwidth"] == found.bandwidth


def test_ellipses_have_the_axes_of_the_metric():
    adata = cells()
    scgauge.tl.embedding_distortion(adata, basis="X_wide", n_neighbors=20)
    panel = scgauge.pl.distortion(adata, basis="X_wide", n_across=6, show=False)
    ellipses = panel.collections[1]
    assert 6 <= len(ellipses.get_offsets()) <= 36
    widths, heights = ellipses.get_widths(), ellipses.get_heights()
    assert np.median(widths / heights) == pytest.approx(
        adata.obs["embedding_distortion_X_wide_anisotropy"].median(), rel=0.3
    )
    angles = np.abs((np.degrees(ellipses._angles) + 90) % 180 - 90)
    assert np.median(angles) < 15  # along the stretched axis


def test_three_dimensions_are_measured_but_not_drawn():
    adata = cells()
    scgauge.tl.embedding_distortion(adata, basis="X_three", n_neighbors=20)
    assert adata.obsm["embedding_distortion_X_three_metric"].shape == (300, 9)
    with pytest.raises(ValueError, match="3 columns"):
        scgauge.pl.distortion(adata, basis="X_three")
