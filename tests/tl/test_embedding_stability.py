import numpy as np
import pytest
from scipy.stats import ortho_group

import scgauge


def cells(n=200, d=6):
    adata = scgauge.datasets.simulate_counts(n, 12, rng=0)
    adata.obsm["X_input"] = np.random.default_rng(0).normal(size=(n, d)) * np.linspace(2, 1, d)
    return adata


def stability(adata, method, **arguments):
    arguments = {"use_rep": "X_input", "n_runs": 4, "rng": 0, "progress": False} | arguments
    scgauge.tl.embedding_stability(adata, methods={"mine": method} if callable(method) else method, **arguments)
    return adata.uns["embedding_stability"]["scores"].groupby("metric")["value"].mean()


@pytest.mark.parametrize("subsample", [None, 0.7])
def test_turned_scaled_and_mirrored_runs_are_the_same(subsample):
    def method(points, seed):
        rng = np.random.default_rng(seed)
        return rng.uniform(0.1, 10) * points[:, :2] @ ortho_group.rvs(2, random_state=seed % 2**32) + rng.normal(size=2)

    adata = cells()
    scores = stability(adata, method, subsample=subsample, n_runs=6)
    spread = adata.obs["embedding_stability_mine_spread"]
    assert spread.max() < 1e-6
    assert scores["procrustes"] < 1e-10
    assert scores["recall"] == 1
    assert spread.notna().mean() > 0.98  # a cell is in fewer than two of six subsamples once in a hundred times


def test_spread_is_the_noise_of_a_cell():
    """One half of the cells wanders, the other does not."""
    sigma = 0.3

    def method(points, seed):
        noise = sigma * np.random.default_rng(seed).normal(size=(len(points), 2))
        noise[::2] = 0
        return points[:, :2] + noise

    adata = cells(400)
    stability(adata, method, n_runs=12)
    spread = adata.obs["embedding_stability_mine_spread"].to_numpy()
    points = adata.obsm["X_input"][:, :2]
    radius = np.sqrt(np.square(points - points.mean(0)).sum(1).mean() + sigma**2 / 12)
    assert np.sqrt(np.mean(spread[1::2] ** 2)) == pytest.approx(np.sqrt(2) * sigma / radius, rel=0.05)
    assert spread[::2].max() < 0.1


def test_cells_that_are_anywhere_have_a_spread_of_the_order_of_one():
    adata = cells()
    scores = stability(adata, lambda points, seed: np.random.default_rng(seed).normal(size=(len(points), 2)), n_runs=8)
    assert adata.obs["embedding_stability_mine_spread"].median() > 0.3
    assert scores["procrustes"] > 0.9
    assert scores["recall"] < 0.15


def test_seeds_and_subsamples_reach_the_methods():
    seen = []

    def method(points, seed):
        seen.append((len(points), seed))
        return points[:, :2]

    adata = cells()
    stability(adata, method, subsample=0.6)
    assert {n for n, _ in seen} == {120}
    assert len({seed for _, seed in seen}) == 4
    assert adata.uns["embedding_stability"]["scores"]["run"].unique().tolist() == [0, 1, 2]


def test_a_random_start_moves_tsne_more_than_principal_components():
    from_pca, at_random = cells(90), cells(90)
    options = {"tsne": {"perplexity": 10, "n_iter": 120, "early_exaggeration_iter": 60}}
    stability(from_pca, "tsne", n_runs=2, options=options)
    stability(at_random, "tsne", n_runs=2, start="random", options=options)
    spreads = [adata.obs["embedding_stability_tsne_spread"].median() for adata in (from_pca, at_random)]
    assert spreads[0] < 0.01 < 0.1 < spreads[1]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"n_runs": 1}, ValueError, "n_runs=1"),
        ({"subsample": 0.2}, ValueError, "subsample=0.2"),
        ({"start": "spectral"}, ValueError, "spectral"),
        ({"n_neighbors": 100}, ValueError, "below half"),
        ({"use_rep": "X_nowhere"}, KeyError, "X_nowhere"),
        ({"options": {"umap": {}}}, ValueError, "umap"),
    ],
)
def test_bad_input(change, error, match):
    with pytest.raises(error, match=match):
        stability(cells(), "pca", **change)
