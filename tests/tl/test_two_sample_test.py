import numpy as np
import pytest
from cells import make_cells

import scgauge

two_sample_test = scgauge.tl.two_sample_test


def test_cells_are_compared_by_gene_name():
    x, y = make_cells(seed=0), make_cells(seed=1)
    expected = scgauge.metrics.two_sample_test(x.X, y.X, n_permutations=19, rng=0)
    shuffled = y[:, np.random.default_rng(0).permutation(y.n_vars)].copy()
    result = two_sample_test(x, shuffled, n_permutations=19, rng=0)
    np.testing.assert_allclose(result.statistic, expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(result.null, expected.null, rtol=1e-10)


def test_layers_representations_and_arrays():
    x, y = make_cells(seed=0), make_cells(seed=1)
    for adata in (x, y):
        adata.layers["double"] = adata.X * 2
        adata.obsm["X_two"] = adata.X[:, :2].toarray()
    by_x = two_sample_test(x, y, n_permutations=0)
    # The energy statistic has the unit of the data.
    assert two_sample_test(x, y, layer="double", n_permutations=0).statistic == pytest.approx(2 * by_x.statistic)
    by_rep = two_sample_test(x, y, use_rep="X_two", n_permutations=0)
    by_array = two_sample_test(x.obsm["X_two"], y.obsm["X_two"], n_permutations=0)
    assert by_rep.statistic == by_array.statistic


def test_posterior_twins_are_closer_than_other_cells():
    x = make_cells(seed=0)
    far = two_sample_test(x, make_cells(seed=3), rng=0)
    near = two_sample_test(x[::2].copy(), x[1::2].copy(), rng=0)
    assert far.pvalue == 0.005
    assert near.pvalue > 0.01


@pytest.mark.parametrize(
    ("change", "arguments", "error", "match"),
    [
        pytest.param(lambda y: y[:, :5].copy(), {}, ValueError, "need the same genes; 15 are in one only", id="genes"),
        pytest.param(lambda y: y.X, {}, TypeError, "`y` is csr_matrix; an AnnData is needed", id="one-anndata"),
        pytest.param(lambda y: y, {"layer": "none"}, KeyError, "layer 'none'", id="layer"),
        pytest.param(lambda y: y, {"use_rep": "X_none"}, KeyError, "use_rep='X_none'", id="representation"),
    ],
)
def test_bad_input(change, arguments, error, match):
    with pytest.raises(error, match=match):
        two_sample_test(make_cells(), change(make_cells(seed=1)), **arguments)


def test_arrays_have_no_layers():
    with pytest.raises(ValueError, match="for arrays leave them out"):
        two_sample_test(np.ones((3, 2)), np.zeros((3, 2)), use_rep="X_pca")
