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


def test_the_sliced_statistic_has_a_band_of_its_error():
    drawn = result("sliced")
    panel = scgauge.pl.two_sample(drawn, show=False)
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert "± 2 SE over lines" in labels
    assert panel.get_xlabel() == "Energy statistic (sliced)"


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="n_permutations=199"):
        scgauge.pl.two_sample(result(n_permutations=0))
