import numpy as np
import pytest

import scgauge


def result(method="exact", n_permutations=49):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.2
    return scgauge.metrics.two_sample_test(x, y, method=method, n_permutations=n_permutations, rng=0)


def test_the_histogram_holds_every_permutation_and_the_line_is_the_statistic():
    drawn = result()
    panel = scgauge.pl.two_sample(drawn, show=False)
    heights = [patch.get_height() for patch in panel.patches]
    assert sum(heights) == 49
    assert panel.lines[0].get_xdata()[0] == drawn.statistic
    assert panel.lines[1].get_xdata()[0] == pytest.approx(np.quantile(drawn.null, 0.95))
    assert panel.get_title(loc="left") == f"p = {drawn.pvalue:.2g} (49 permutations)"
    assert panel.get_xlabel() == "Energy statistic"


def test_a_statistic_far_off_leaves_the_histogram_wide():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 5
    drawn = scgauge.metrics.two_sample_test(x, y, n_permutations=49, rng=0)
    panel = scgauge.pl.two_sample(drawn, show=False)
    assert panel.get_xscale() == "log"
    assert sum(patch.get_height() for patch in panel.patches) == 49
    panel.figure.canvas.draw()
    drawn_width = panel.patches[-1].get_window_extent().x1 - panel.patches[0].get_window_extent().x0
    assert drawn_width > 0.1 * panel.get_window_extent().width
    assert scgauge.pl.two_sample(result(), show=False).get_xscale() == "linear"


def test_the_sliced_statistic_has_a_band_of_its_error():
    drawn = result("sliced")
    panel = scgauge.pl.two_sample(drawn, show=False)
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert "± 2 SE over lines" in labels
    assert panel.get_xlabel() == "Energy statistic (sliced)"


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="n_permutations=199"):
        scgauge.pl.two_sample(result(n_permutations=0))
