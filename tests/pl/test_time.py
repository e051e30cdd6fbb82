"""Figures of time series show the numbers that are stored."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.collections import LineCollection, PathCollection

from scgauge import pl


def make(n_latent):
    rng = np.random.default_rng(0)
    times = np.repeat([0.0, 1.0, 2.0], 40)
    points = rng.normal(size=(120, n_latent)) + 2 * times[:, None]
    adata = AnnData(np.ones((120, 1), dtype="float32"), obs={"hour": times})
    paths = np.stack([points[:5] + 2 * t for t in (0.0, 1.0, 2.0)], axis=1)
    adata.obsm["X_trajectory"] = adata.obsm["X_velocity"] = points
    adata.obsm["velocity"] = np.full((120, n_latent), 2.0)
    adata.uns["velocity"] = {"params": {"time_key": "hour"}}
    adata.uns["trajectory"] = {"params": {"time_key": "hour"}, "times": np.array([0.0, 1.0, 2.0]), "paths": paths}
    return adata


@pytest.mark.parametrize("n_latent", [1, 2, 5])
def test_lines_are_the_paths_in_the_plane(n_latent):
    adata = make(n_latent)
    panel = pl.trajectory(adata, show=False)
    lines = next(item for item in panel.collections if isinstance(item, LineCollection)).get_segments()
    assert len(lines) == 5
    if n_latent == 2:
        np.testing.assert_allclose(lines, adata.uns["trajectory"]["paths"])
    # A plane keeps the length of what lies along its axes: all paths move by the same vector.
    steps = np.diff(np.array(lines), axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0, 0], steps.shape), atol=1e-9)
    plt.close("all")


@pytest.mark.parametrize("n_latent", [2, 5])
def test_streamlines_follow_the_velocities(n_latent):
    panel = pl.velocity_field(make(n_latent), show=False)
    streams = next(item for item in panel.collections if isinstance(item, LineCollection))
    assert len(streams.get_segments()) > 10
    if n_latent == 2:
        slopes = np.concatenate([np.diff(segment, axis=0) for segment in streams.get_segments()])
        np.testing.assert_allclose(slopes[:, 0], slopes[:, 1], rtol=1e-3, atol=1e-6)
    plt.close("all")


def test_instruments_have_rows_of_panels():
    items = {"i": "walk", "j": "walk", "k": "lift"}
    rows = [(name, t, item, test, t, t - 1, t + 1) for name in "ab" for t in (0.0, 1.0) for item, test in items.items()]
    table = pd.DataFrame(rows, columns=["subject", "time", "item", "instrument", "mean", "lower", "upper"])
    visits = AnnData(np.full((1, 3), np.nan), obs={"subject": ["a"], "time": [0.0]})
    visits.var_names = list(items)
    panels = pl.individual_trajectories(table, visits=visits, show=False)
    assert [panel.get_ylabel() for panel in panels] == ["walk", "", "lift", ""]
    assert [len(panel.get_lines()) for panel in panels] == [2, 2, 1, 1]
    assert [panel.get_xlabel() for panel in panels] == ["", "", "time", "time"]
    alone = pl.individual_trajectories(table, items=["k"], subjects=["b"], show=False)
    assert alone.get_ylabel() == "lift"
    plt.close("all")


def test_individuals_are_drawn_with_their_bands_and_visits():
    rows = [(name, t, item, t + n, t, t + 2) for n, name in enumerate("ab") for t in (0.0, 1.0) for item in ("i", "j")]
    table = pd.DataFrame(rows, columns=["subject", "time", "item", "mean", "lower", "upper"])
    visits = AnnData(np.arange(6.0).reshape(3, 2), obs={"subject": ["a", "a", "b"], "time": [0.0, 1.0, 0.5]})
    visits.var_names = ["i", "j"]
    panels = pl.individual_trajectories(table, visits=visits, show=False)
    assert [panel.get_title(loc="left") for panel in panels] == ["a", "b"]
    lines = panels[1].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), [1.0, 2.0])
    dots = [item.get_offsets() for item in panels[0].collections if isinstance(item, PathCollection)]
    np.testing.assert_allclose(dots[1], [[0.0, 1.0], [1.0, 3.0]])
    with pytest.raises(KeyError, match="has no subject"):
        pl.individual_trajectories(table, subjects=["z"], show=False)
    plt.close("all")


def test_missing_times_are_named():
    adata = make(2)
    del adata.obs["hour"]
    for function in (pl.trajectory, pl.velocity_field):
        with pytest.raises(KeyError, match="times of the result"):
            function(adata, show=False)
    plt.close("all")


@pytest.mark.parametrize("cohorts", [False, True])
def test_held_out_times_are_the_numbers_of_the_table(cohorts):
    shown = [("pca5", "wasserstein"), ("pca5", "subject_wasserstein"), ("genes", "energy")]
    shown = shown if cohorts else shown[::2]
    methods = ["floor", "copy_previous", "optimal_transport", "model"]
    rng = np.random.default_rng(0)
    rows = [
        (time, method, *where, rng.uniform(1, 2)) for time in (2.0, 4.0) for method in methods
        for where in (*shown, ("pca20", "energy"))
    ]  # fmt: skip
    columns = ["time", "method", "space", "statistic", "value"]
    scores = pd.DataFrame(rows, columns=columns)
    adata = AnnData(np.ones((1, 1), dtype="float32"))
    adata.uns["held_out_time"] = {"params": {"time_key": "day"}, "scores": scores}
    panels = pl.held_out_time(adata, show=False)
    assert len(panels) == len(shown)
    table = scores.set_index(["time", "method", "space", "statistic"])["value"]
    for panel, where in zip(panels, shown, strict=True):
        for time, marks, line in zip((2.0, 4.0), panel.collections, panel.lines, strict=True):
            expected = [table[time, method, *where] for method in methods[:0:-1]]
            np.testing.assert_allclose(marks.get_offsets()[:, 0], expected)
            assert line.get_xdata()[0] == table[time, "floor", *where]
    plt.close("all")


def test_a_table_without_rows_of_held_out_times_is_named():
    adata = AnnData(np.ones((1, 1), dtype="float32"))
    empty = pd.DataFrame({name: [] for name in ("time", "method", "space", "statistic", "value")})
    adata.uns["held_out_time"] = {"params": {"time_key": "day"}, "scores": empty}
    with pytest.raises(KeyError, match="has no row to show"):
        pl.held_out_time(adata)
