import numpy as np
import pytest
from cells import make_cells

import scgauge
from scgauge.pl._agreement import cluster_order


def pair():
    real, synthetic = make_cells(seed=0), make_cells(seed=1)
    scgauge.pp.binarize(real, threshold="quantile")
    scgauge.pp.binarize(synthetic, threshold=real.var["binary_threshold"])
    return real, synthetic


def test_log_odds_shows_the_matrices_in_one_order():
    real, synthetic = pair()
    left, middle, right = scgauge.pl.log_odds(real, synthetic[:, ::-1], n_genes=8, show=False)
    shown, other = (panel.images[0].get_array() for panel in (left, middle))
    assert shown.shape == (8, 8)
    for adata in (real, synthetic):
        scgauge.tl.log_odds_ratio(adata)
    strongest = np.argsort(-np.nanmean(np.abs(real.varp["log_odds"]), axis=1), kind="stable")[:8]
    order = strongest[cluster_order(real.varp["log_odds"][np.ix_(strongest, strongest)])]
    for picture, adata in ((shown, real), (other, synthetic)):
        np.testing.assert_allclose(picture.filled(np.nan), adata.varp["log_odds"][np.ix_(order, order)], atol=1e-5)
    table = scgauge.tl.compare_log_odds(real, synthetic)
    assert right.get_title() == f"r = {table.attrs['pearson']:.2f}   slope = {table.attrs['slope']:.2f}"


def test_correlations_are_those_of_log_normalised_counts():
    import scanpy as sc

    real, synthetic = make_cells(seed=0), make_cells(seed=1)
    target = float(np.median(np.asarray(real.X.sum(1))))
    panels = scgauge.pl.correlation_agreement(real, synthetic, show=False)
    matrices = []
    for adata in (real, synthetic):
        normal = adata.copy()
        sc.pp.normalize_total(normal, target_sum=target)
        sc.pp.log1p(normal)
        matrices.append(np.corrcoef(normal.X.toarray().T))
    upper = np.triu_indices(20, 1)
    r = np.corrcoef(matrices[0][upper], matrices[1][upper])[0, 1]
    assert panels[2].get_title().startswith(f"r = {r:.2f}")
    order = cluster_order(matrices[0])
    # The order of the picture is over genes sorted by variance; its entries are the same set.
    picture = np.sort(panels[0].images[0].get_array().ravel())
    np.testing.assert_allclose(picture, np.sort(matrices[0][np.ix_(order, order)].ravel()), atol=1e-5)
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim()


def test_genes_of_a_block_stand_together():
    rng = np.random.default_rng(0)
    block = rng.permutation(np.repeat([0, 1, 2], 6))
    matrix = 0.6 * (block[:, None] == block) + 0.05 * rng.normal(size=(18, 18))
    matrix = (matrix + matrix.T) / 2
    ordered = block[cluster_order(matrix)]
    assert (np.diff(ordered) != 0).sum() == 2


@pytest.mark.parametrize("kind", ["spearman", "partial"])
def test_other_kinds(kind):
    panels = scgauge.pl.correlation_agreement(make_cells(seed=0), make_cells(seed=1), kind=kind, show=False)
    assert "correlation, real" in panels[2].get_xlabel()
    assert panels[2].get_xlabel() != "correlation, real"


def test_bad_input():
    real, synthetic = pair()
    with pytest.raises(ValueError, match="kind='kendall' is unknown"):
        scgauge.pl.correlation_agreement(real, synthetic, kind="kendall")
    with pytest.raises(ValueError, match="at least 2 are needed"):
        scgauge.pl.correlation_agreement(real, synthetic, n_genes=1)
    with pytest.raises(ValueError, match="at least 2 are needed"):
        scgauge.pl.log_odds(real, synthetic, n_genes=1)
    with pytest.raises(ValueError, match="need the same genes; 10 are in one only"):
        scgauge.pl.log_odds(real, synthetic[:, :10])
