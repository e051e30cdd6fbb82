"""Figures of factors show the numbers that tl wrote."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scvi
from cells import fit, make_cells, train_quietly
from matplotlib.colors import to_rgba

import scgauge
from scgauge.model import BayesianLinearVI, LinearVI

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def adata():
    cells = make_cells()
    scgauge.tl.loadings(cells, fit(LinearVI, make_cells(), setup={}, epochs=20), n_genes=8)
    return cells


def test_points_are_the_loadings_of_the_named_genes(adata):
    panels = scgauge.pl.loadings(adata, n_genes=6, show=False)
    table = adata.uns["loadings"]["top_genes"]
    for panel, factor in zip(panels, adata.uns["loadings"]["factors"]["factor"], strict=True):
        shown = dict(
            zip(
                [label.get_text() for label in panel.get_yticklabels()],
                panel.collections[-1].get_offsets()[:, 0],
                strict=True,
            )
        )
        rows = table[(table["factor"] == factor) & (table["rank"] <= 6)]
        assert shown == pytest.approx(dict(zip(rows["gene"], rows["loading"], strict=True)))
        assert factor in panel.get_title()
        assert "explained" in panel.get_title()


def test_intervals_are_drawn():
    cells = make_cells()
    scvi.settings.seed = 0
    BayesianLinearVI.setup_anndata(cells)
    model = train_quietly(BayesianLinearVI(cells, n_latent=2, n_hidden=16), max_epochs=1)
    scgauge.tl.loadings(cells, model, order=None, n_genes=3)
    panel = scgauge.pl.loadings(cells, factors=["Z_1"], show=False)
    table = cells.uns["loadings"]["top_genes"].query("factor == 'Z_1'").sort_values("loading", ascending=False)
    segments = np.array(panel.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, :, 0], table[["lower", "upper"]], rtol=1e-6)
    assert panel.get_title() == "Z_1"


def test_scatter_shows_cells_and_arrows(adata):
    first, second = adata.uns["loadings"]["factors"]["factor"][:2]
    panel = scgauge.pl.factor_scatter(adata, n_genes=4, show=False)
    np.testing.assert_allclose(panel.collections[0].get_offsets(), adata.obsm["X_loadings"][:, :2], rtol=1e-6)
    arrows = adata.varm["loadings"][:, :2]
    longest = np.argsort(-np.linalg.norm(arrows, axis=1))[:4]
    drawn = [text for text in panel.texts if text.get_text() == ""]
    tips = np.array([text.xy for text in drawn])
    scale = np.linalg.norm(tips, axis=1) / np.linalg.norm(arrows[longest], axis=1)
    np.testing.assert_allclose(tips, scale[0] * arrows[longest], rtol=1e-6)
    assert {text.get_text() for text in panel.texts} - {""} == set(adata.var_names[longest])
    assert panel.get_xlabel().startswith(first)
    assert panel.get_ylabel().startswith(second)
    left, right = panel.get_xlim()
    assert left < tips[:, 0].min()
    assert tips[:, 0].max() < right


def test_names_of_arrows_keep_apart_and_near(adata):
    crowded = adata.copy()
    arrows = np.zeros((adata.n_vars, 2))
    arrows[:5] = np.column_stack([np.ones(5), [0.9, 0.1, 0.1001, 0.1002, -0.9]])
    crowded.varm["loadings"][:, :2] = arrows
    panel = scgauge.pl.factor_scatter(crowded, n_genes=5, show=False)
    names = [text for text in panel.texts if text.get_text()]
    tips, places = np.array([(text.xy[1], text.xyann[1]) for text in names]).T
    close = np.abs(tips - np.median(tips)) < 1e-2
    assert close.sum() == 3
    np.testing.assert_allclose(places[~close], tips[~close])
    # Three at one place: one stays, one goes up and one as far down.
    assert places[close].mean() == pytest.approx(tips[close].mean())
    assert np.diff(np.sort(places)).min() == pytest.approx(0.085 * np.abs(adata.obsm["X_loadings"][:, 1]).max())
    plt.close("all")


def test_scatter_colours(adata):
    panel = scgauge.pl.factor_scatter(adata, color="type", show=False)
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == sorted(adata.obs["type"].unique())
    colors = {to_rgba(c.get_facecolor()[0]) for c in panel.collections[:3]}
    assert len(colors) == 3
    figure = scgauge.pl.factor_scatter(adata, color="age", show=False, return_fig=True)
    assert figure.axes[1].get_ylabel() == "age"
    plt.close("all")


def test_three_factors_are_too_many(adata):
    names = adata.uns["loadings"]["factors"]["factor"].tolist()
    with pytest.raises(ValueError, match="needs two"):
        scgauge.pl.factor_scatter(adata, factors=names)


def test_stability_shows_every_run():
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", "c"]) for _ in range(4)]
    found = scgauge.tl.match_factors(tables)
    panel = scgauge.pl.factor_stability(found, show=False)
    order = found.stability.sort_values("median", ascending=False)["factor"].tolist()
    assert [label.get_text() for label in panel.get_xticklabels()] == order
    for place, factor in enumerate(order):
        dots = np.asarray(panel.collections[place].get_offsets())[:, 1]
        rows = found.matches[found.matches["factor"] == factor]
        np.testing.assert_allclose(dots, rows["correlation"].abs())
    with pytest.raises(TypeError, match="DataFrame"):
        scgauge.pl.factor_stability(tables[0])
