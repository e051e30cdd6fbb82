import numpy as np
import pytest

import scgauge


@pytest.fixture(scope="module")
def recovered():
    adata = scgauge.datasets.simulate_counts(90, 15, n_latent=2, n_groups=3, rng=0)
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    model.train(max_epochs=2, enable_progress_bar=False)
    cells = scgauge.tl.transform_latent(
        adata, model, groupby="group", transformations={"group_0": {"rotate": 30.0}}, n_steps=2, rng=0, progress=False
    )
    methods = {"pca": None, "line": lambda points, _: points[:, :1]}
    scgauge.tl.transformation_recovery(cells, methods=methods, n_seeds=2, n_pcs=5, rng=0, progress=False)
    return cells


def test_grid_of_methods_and_times(recovered):
    axes = scgauge.pl.transformation(recovered, show=False)
    assert [panel.get_ylabel() for panel in axes[::3]] == ["truth", "PCA", "line"]
    assert [panel.get_title() for panel in axes[:3]] == ["time 0", "time 1", "time 2"]
    points = np.concatenate([part.get_offsets() for part in axes[1].collections])
    truth = recovered.obsm["X_latent"][recovered.obs["time"] == 1]
    np.testing.assert_allclose(np.sort(points, axis=0), np.sort(truth, axis=0))
    assert len({panel.get_xlim() for panel in axes[3:6]}) == 1  # one scale along a row


def test_panels_of_scores(recovered):
    axes = scgauge.pl.transformation_recovery(recovered, show=False)
    assert [panel.get_title() for panel in axes] == ["angle error, degrees", "log scale error", "skill", "leakage"]
    # two methods, each with filled and hollow dots; a line has no angle
    sizes = [len(part.get_offsets()) for part in axes[0].collections]
    assert sizes[1] == sizes[3] == 0
    assert "not defined" in [text.get_text() for text in axes[0].texts]
    with pytest.raises(ValueError, match="speed"):
        scgauge.pl.transformation_recovery(recovered, metrics=["speed"])
