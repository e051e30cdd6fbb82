import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import sparse

import scgauge


def draw_cells(seed, n=120, p=80, inverse_dispersion=1.0):
    rates = np.random.default_rng(9).gamma(0.5, 3.0, p)
    rng = np.random.default_rng(seed)
    if np.isinf(inverse_dispersion):
        counts = rng.poisson(rates, (n, p))
    else:
        counts = rng.negative_binomial(inverse_dispersion, inverse_dispersion / (inverse_dispersion + rates), (n, p))
    counts[:, 3] = 0  # a gene without a count
    return ad.AnnData(sparse.csr_matrix(counts.astype("f4")))


def offsets(panel):
    return [np.asarray(dots.get_offsets()) for dots in panel.collections]


def test_dots_are_the_marginals():
    real, synthetic = draw_cells(0), draw_cells(1)
    variance, equal, zeros = scgauge.pl.marginals(real, synthetic, show=False)
    ours, theirs = (np.asarray(cells.X.todense(), dtype=float) for cells in (real, synthetic))
    for panel, statistic in (
        (variance, lambda x: x.var(axis=0, ddof=1)),
        (zeros, lambda x: (x == 0).mean(axis=0)),
    ):
        for dots, counts in zip(offsets(panel), (ours, theirs), strict=True):
            shown = counts.mean(axis=0) > 0
            assert shown.sum() < 80
            # Arrays of float64 handed on.
            np.testing.assert_allclose(dots[:, 0], counts.mean(axis=0)[shown], rtol=1e-12)
            np.testing.assert_allclose(dots[:, 1], statistic(counts)[shown], rtol=1e-12)
    (dots,) = offsets(equal)
    np.testing.assert_allclose(dots, np.column_stack([(ours == 0).mean(0), (theirs == 0).mean(0)]), rtol=1e-12)
    gap = np.abs((ours == 0).mean(0) - (theirs == 0).mean(0)).mean()
    assert equal.get_title() == f"mean |difference| {gap:.3f}"


def line(panel, label):
    return next(drawn for drawn in panel.lines if drawn.get_label() == label)


def test_lines_of_reference():
    variance, equal, zeros = scgauge.pl.marginals(draw_cells(0), draw_cells(1), show=False)
    x, y = line(variance, "Poisson").get_data()
    assert np.array_equal(x, y)
    x, y = line(zeros, "Poisson").get_data()
    np.testing.assert_allclose(y, np.exp(-x), rtol=1e-12)
    assert equal.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert (variance.get_xscale(), variance.get_yscale(), zeros.get_xscale()) == ("log", "log", "log")
    names = [text.get_text() for text in variance.get_legend().get_texts()]
    assert names == ["real", "synthetic", "real, trend", "synthetic, trend", "Poisson"]


def test_trends_separate_poisson_from_overdispersed_counts():
    variance, _, zeros = scgauge.pl.marginals(draw_cells(0), draw_cells(1, inverse_dispersion=np.inf), show=False)
    for panel, expected, above in ((variance, lambda mean: mean, 1.5), (zeros, lambda mean: np.exp(-mean), 1.2)):
        mean, value = line(panel, "real, trend").get_data()
        assert (value[mean > 1] > above * expected(mean[mean > 1])).all()
        mean, value = line(panel, "synthetic, trend").get_data()
        np.testing.assert_allclose(value, expected(mean), rtol=0.35)  # medians over about 25 genes of 120 cells


def test_genes_are_matched_by_name():
    real, synthetic = draw_cells(0), draw_cells(1)
    expected = scgauge.pl.marginals(real, synthetic, show=False)
    shuffled = synthetic[:, np.random.default_rng(0).permutation(80)].copy()
    axes = scgauge.pl.marginals(real, shuffled, show=False)
    np.testing.assert_allclose(offsets(axes[1])[0], offsets(expected[1])[0], rtol=1e-12)


def test_layer_belongs_to_the_real_cells():
    real, synthetic = draw_cells(0), draw_cells(1)
    expected = scgauge.pl.marginals(real, synthetic, show=False)
    real.layers["counts"] = real.X.copy()
    real.X = real.X.log1p()
    axes = scgauge.pl.marginals(real, synthetic, layer="counts", show=False)
    np.testing.assert_allclose(offsets(axes[0])[0], offsets(expected[0])[0], rtol=1e-12)


def test_figure_and_given_axes():
    real, synthetic = draw_cells(0), draw_cells(1)
    assert isinstance(scgauge.pl.marginals(real, synthetic, return_fig=True), Figure)
    _, grid = plt.subplots(1, 3)
    assert scgauge.pl.marginals(real, synthetic, ax=grid) == list(grid)


def test_the_legend_covers_no_data():
    figure = scgauge.pl.marginals(draw_cells(0), draw_cells(1), return_fig=True)
    figure.canvas.draw()
    panel = figure.axes[0]
    box = panel.get_legend().get_window_extent()
    for dots in offsets(panel):
        positions = panel.transData.transform(dots)
        assert not [position for position in positions if box.contains(*position)]


@pytest.mark.parametrize("n_genes", [1, 2])
def test_few_genes(n_genes):
    real, synthetic = (ad.AnnData(np.random.default_rng(seed).poisson(2.0, (20, n_genes)) * 1.0) for seed in (0, 1))
    figure = scgauge.pl.marginals(real, synthetic, return_fig=True)
    figure.canvas.draw()


def with_value(value):
    cells = ad.AnnData(draw_cells(0).X.toarray())
    cells.X[1, 2] = value
    return cells


def renamed():
    cells = draw_cells(0)
    cells.var_names = ["other", *cells.var_names[1:]]
    return cells


def repeated():
    cells = draw_cells(0)
    cells.var_names = ["1", *cells.var_names[1:]]
    return cells


GOOD = draw_cells(1)


@pytest.mark.parametrize("swap", [False, True], ids=["real", "synthetic"])
@pytest.mark.parametrize(
    ("cells", "error", "match"),
    [
        pytest.param(np.ones((3, 80)), TypeError, "is ndarray; an AnnData is needed", id="array"),
        pytest.param(with_value(0.5), ValueError, "found 1 non-integer entries", id="float"),
        pytest.param(with_value(-1), ValueError, "found 1 negative entries", id="negative"),
        pytest.param(with_value(np.nan), ValueError, "found 1 NaN or infinite entries", id="nan"),
        pytest.param(draw_cells(0)[:1].copy(), ValueError, "has one cell; variances need at least two", id="one-cell"),
        pytest.param(renamed(), ValueError, "need the same genes; 2 are in one only", id="other-genes"),
        pytest.param(repeated(), ValueError, "Gene names must be unique", id="repeated-genes"),
        pytest.param(ad.AnnData(np.zeros((4, 80), dtype="f4")), ValueError, "has no count at all", id="empty"),
    ],
)
def test_bad_input(cells, error, match, swap):
    pair = (GOOD, cells) if swap else (cells, GOOD)
    with pytest.raises(error, match=match):
        scgauge.pl.marginals(*pair, show=False)
    assert not plt.get_fignums()


def test_missing_layer():
    with pytest.raises(KeyError, match="Did not find the layer 'no'"):
        scgauge.pl.marginals(GOOD, GOOD, layer="no", show=False)
