import numpy as np
import pytest
from anndata import AnnData
from cells import fit, make_cells
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

import scgauge
from scgauge.model import CountVI
from scgauge.tl._pattern_map import classical_scaling


def pairs(seed=0, n=2000):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    x = np.column_stack([z[:, 0] > 0, z[:, 1] + rng.normal(size=n) > 0, rng.random(n) > 0.5])
    return AnnData(x.astype(np.float32), obsm={"X_latent": z})


def test_distances_are_roots_of_the_divergence():
    data = pairs()
    found = scgauge.tl.pattern_map(data, genes=["0", "1", "2"], quantile=0, n_patterns=5)
    assert len(found.patterns) == 5
    code = (data.obsm["X_latent"] > 0) @ [4, 2, 1]
    shares = {}
    for pattern in found.patterns["pattern"]:
        rows = ([int(mark) for mark in pattern] == data.X).all(1)
        shares[pattern] = np.bincount(code[rows], minlength=8) / rows.sum()
        share = found.patterns.set_index("pattern")["share"][pattern]
        assert share == rows.mean()
    for first, p in shares.items():
        for second, q in shares.items():
            middle = (p + q) / 2
            divergence = (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2
            np.testing.assert_allclose(found.distances.loc[first, second] ** 2, divergence, atol=1e-12)


def test_patterns_of_other_places_are_far_apart():
    found = scgauge.tl.pattern_map(pairs(), genes=["0", "2"], quantile=0)
    distances = found.distances
    # The third gene is noise: patterns that differ in it alone lie together.
    assert distances.loc["00", "01"] < 0.1 < 0.8 < distances.loc["00", "10"]
    assert found.explained > 0.95


def test_classical_scaling_reproduces_points_of_a_plane():
    points = np.random.default_rng(0).normal(size=(12, 2))
    found, explained = classical_scaling(cdist(points, points))
    np.testing.assert_allclose(cdist(found, found), cdist(points, points), atol=1e-10)
    np.testing.assert_allclose(explained, 1)


def test_two_patterns_lie_on_a_line():
    found = scgauge.tl.pattern_map(pairs(), genes=["0"], quantile=0)
    assert len(found.patterns) == 2
    np.testing.assert_allclose(found.patterns["y"], 0, atol=1e-7)


def test_a_model_draws_its_own_cells():
    model = fit(CountVI, make_cells())
    found = [scgauge.tl.pattern_map(model, genes=["gene_0", "gene_3"], n_samples=300, rng=0) for _ in range(2)]
    assert found[0].patterns.equals(found[1].patterns)
    assert found[0].patterns["n_cells"].sum() <= 300


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"genes": ["9"]}, KeyError, "no gene '9'"),
        ({"n_patterns": 0}, ValueError, "n_patterns=0"),
        ({"quantile": -1}, ValueError, "quantile=-1"),
        ({"genes": []}, ValueError, "make 1 pattern"),
    ],
)
def test_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        scgauge.tl.pattern_map(pairs(n=50), **{"genes": ["0"]} | arguments)
