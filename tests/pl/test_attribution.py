import numpy as np
import pytest
from cells import fit, make_cells

import scgauge


@pytest.fixture(scope="module")
def explained():
    adata = make_cells()
    model = fit(scgauge.model.CountVI, adata.copy(), epochs=15)
    scgauge.tl.attribute(adata, model, rng=0, progress=False)
    return adata


def test_bars_are_the_largest_attributions_in_the_colour_of_their_sign(explained):
    panels = scgauge.pl.attribution(explained, n_genes=6, show=False)
    assert [panel.get_title() for panel in panels] == ["Z_0", "Z_1", "Z_2"]
    for target, panel in enumerate(panels):
        values, signed = (explained.varm[key][:, target] for key in ("ig", "ig_signed"))
        order = np.argsort(-values)[:6]
        np.testing.assert_allclose([bar.get_width() for bar in panel.patches], values[order])
        assert [text.get_text() for text in panel.get_yticklabels()] == explained.var_names[order].tolist()
        colors = [tuple(np.round(bar.get_facecolor(), 2)) for bar in panel.patches]
        assert len({(color, sign) for color, sign in zip(colors, signed[order] >= 0, strict=True)}) == len(set(colors))
        null = explained.uns["ig"]["randomised"]["null"][target]
        assert panel.lines[0].get_xdata()[0] == null


def test_legend_explains_colours_and_line(explained):
    panels = scgauge.pl.attribution(explained, n_genes=4, show=False)
    said = [text.get_text() for text in panels[-1].get_legend().get_texts()]
    assert said[:2] == ["raises the output", "lowers the output"]
    assert said[2].startswith("95 % of genes")
    assert all(panel.get_legend() is None for panel in panels[:-1])


def test_heatmap_scales_each_target(explained):
    panel = scgauge.pl.attribution(explained, kind="heatmap", targets=["Z_2", "Z_0"], n_genes=4, show=False)
    image = panel.images[0].get_array()
    genes = [text.get_text() for text in panel.get_yticklabels()]
    values = explained.varm["ig"][:, [2, 0]]
    expected = (values / values.max(axis=0))[explained.var_names.get_indexer(genes)]
    np.testing.assert_allclose(image, expected)
    assert image.max(axis=0).tolist() == [1, 1]


def test_bad_input(explained):
    with pytest.raises(KeyError, match="Run: scgauge.tl.attribute"):
        scgauge.pl.attribution(make_cells(), show=False)
    with pytest.raises(KeyError, match="no target 'Z_9'"):
        scgauge.pl.attribution(explained, targets=["Z_9"], show=False)
    with pytest.raises(ValueError, match="kind='pie'"):
        scgauge.pl.attribution(explained, kind="pie", show=False)
