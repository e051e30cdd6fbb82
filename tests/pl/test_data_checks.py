from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.text import Text

import scgauge


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def shift():
    adata = scgauge.datasets.simulate_counts(300, 40, rng=0)
    few = (adata.obs["group"] != "group_0") | (adata.obs_names.str[-1] < "3")
    return scgauge.tl.distribution_shift(adata[:150], adata[150:][few[150:]], labels_key="group", rng=0)


def test_shift_shows_tests_labels_and_genes(shift):
    evidence, labels, genes = scgauge.pl.distribution_shift(shift, n_genes=5, names=("before", "after"), show=False)
    assert [text.get_text() for text in labels.get_legend().get_texts()] == ["before", "after"]
    assert evidence.get_title(loc="left") == "found: prior"
    assert len(evidence.patches) == 4
    # Bars of both sets, each adding to one.
    widths = [patch.get_width() for patch in labels.patches]
    assert sum(widths) == pytest.approx(2)
    largest = shift.genes[shift.genes["part"] == "total"].nlargest(1, "z")["gene"].iloc[0]
    names = [tick.get_text() for tick in genes.get_yticklabels()]
    assert len(names) == 5
    total = shift.genes[shift.genes["part"] == "total"].set_index("gene")["z"].abs()
    assert set(names) == set(total.nlargest(5).index)
    assert largest in names or total.nlargest(5).min() > total[largest]


def test_shift_without_labels():
    adata = scgauge.datasets.simulate_counts(120, 40, rng=0)
    result = scgauge.tl.distribution_shift(adata[:60], adata[60:], n_permutations=99, rng=0)
    evidence, genes = scgauge.pl.distribution_shift(result, names=("before", "after"), show=False)
    [bar] = evidence.patches
    # As high as one of the four that there can be.
    assert bar.get_height() / np.ptp(evidence.get_ylim()) == pytest.approx(0.6 / 4)
    assert genes.get_xlabel() == "difference of means, after $-$ before"
    with pytest.raises(TypeError, match="DistributionShift|distribution_shift"):
        scgauge.pl.distribution_shift(result.tests)


def test_spurious_correlation_shows_what_was_seen():
    adata = scgauge.datasets.simulate_counts(60, 100, rng=0)
    scgauge.tl.spurious_correlation(adata, target="library_size", rng=0)
    left, right = scgauge.pl.spurious_correlation(adata, show=False)
    assert left.get_legend().get_window_extent().ymax < left.get_window_extent().ymin
    largest = adata.var["spurious_correlation_r"].abs().max()
    assert any(line.get_xdata()[0] == pytest.approx(largest) for line in left.lines)
    assert right.collections[-1].get_offsets()[0].tolist() == pytest.approx([60, largest])


def test_imputation_score_shows_each_method():
    rows = [("model", "skill", 0.2, 0.01), ("kNN smoothing", "skill", -0.1, 0.02), ("gene means", "skill", 0.0, 0.0)]
    rows += [("model", "genes_better", 0.9, None), ("kNN smoothing", "genes_better", 0.4, None)]
    table = pd.DataFrame(rows, columns=["method", "statistic", "value", "se"])
    left, right = scgauge.pl.imputation_score(table, show=False)
    assert [patch.get_width() for patch in left.patches] == [-0.1, 0.2]
    assert [patch.get_width() for patch in right.patches] == [0.4, 0.9]


def test_augmentation_gain_shows_means_of_repeats():
    rows = [(repeat, n, "copies", "auc", 0.1 * repeat + n / 100) for repeat in (0, 1) for n in (10, 30)]
    table = pd.DataFrame(rows, columns=["repeat", "n_kept", "added", "statistic", "value"])
    panel = scgauge.pl.augmentation_gain(table, statistic="auc", show=False)
    assert panel.lines[0].get_ydata().tolist() == pytest.approx([0.15, 0.35])
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["10", "30"]
    table = pd.concat([table, table.assign(added="nothing")])
    panel = scgauge.pl.augmentation_gain(table, statistic="auc", show=False)
    for dots, line in zip(panel.collections, panel.lines, strict=True):
        assert set(dots.get_offsets()[:, 0].tolist()) == set(line.get_xdata().tolist())


def test_names_of_genes_do_not_cover_each_other():
    n = 8
    close = np.linspace(1.0, 1.01, n)
    genes = pd.DataFrame({"gene": [f"gene_{i}" for i in range(n)], "treated": close, "top": True})
    genes["latent_space"], genes["gene_space"], genes["control"] = close + 0.1, close - 0.1, close + [0.1, -0.1] * 4
    methods = ("latent space", "gene space", "no change")
    scores = pd.DataFrame([(m, s, 1.0) for m in methods for s in ("r2_all", "r2_top")])
    predicted = AnnData(np.ones((2, n), dtype=np.float32))
    predicted.uns["latent_arithmetic"] = {
        "params": {"treated": "IFN", "label": "T"},
        "genes": genes,
        "scores": scores.set_axis(["method", "statistic", "value"], axis=1),
    }
    for panel in scgauge.pl.latent_arithmetic(predicted, show=False):
        panel.figure.canvas.draw()
        # Text.get_window_extent of the base class: without the line to the gene
        boxes = [Text.get_window_extent(text) for text in panel.texts]
        assert len(boxes) == 6
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
