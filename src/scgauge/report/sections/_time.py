from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from scgauge.metrics import energy_distance
from scgauge.pl import trajectory as draw_trajectory
from scgauge.report import _verdicts
from scgauge.report._section import Picture, Section, Table
from scgauge.tl import trajectory

if TYPE_CHECKING:
    from scgauge.report._subject import Subject

#: Most cells that are followed through time.
_N_CELLS = 300


def _distances(latent: np.ndarray, times: np.ndarray, paths: np.ndarray, grid: np.ndarray) -> list[dict[str, float]]:
    """Energy distance of followed cells, and of cells that stay where they were, to the cells of each later time."""
    rows = []
    for position, time in enumerate(grid[1:], start=1):
        seen = latent[times == time]
        rows.append(
            {
                "time": float(time),
                "followed": energy_distance(paths[:, position], seen),
                "no change": energy_distance(paths[:, 0], seen),
            }
        )
    return rows


def time_series(subject: Subject) -> Section:
    """Tell whether the dynamics of a time-series model lead from the first cells to the later ones."""
    grid = np.asarray(subject.model.training_times, dtype=float)
    moved, drawn = subject.data.copy(), subject.data.copy()
    trajectory(moved, subject.model, times=grid, n_cells=_N_CELLS, rng=subject.seed)
    trajectory(drawn, subject.model, n_cells=_N_CELLS, rng=subject.seed)
    times = subject.data.obs[moved.uns["trajectory"]["params"]["time_key"]].to_numpy(dtype=float)
    rows = _distances(moved.obsm["X_trajectory"], times, moved.uns["trajectory"]["paths"], grid)
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    draw_trajectory(drawn, ax=figure.subplots(), show=False)
    text = [[f"{row['time']:g}", f"{row['followed']:.3f}", f"{row['no change']:.3f}"] for row in rows]
    return Section(
        name="time",
        title="Do the cells of the first time become those of the later ones?",
        verdict=_verdicts.dynamics(rows),
        pictures=[
            Picture.of(
                figure,
                "Latent points coloured by time, with lines along which cells of the first time are carried.",
                "Where lines leave the cloud of later cells, the dynamics do not fit.",
            )
        ],
        tables=[
            Table(
                ["Time", "Cells carried there", "Cells that stay as they were"],
                text,
                "Energy distance to the cells of that time in the latent space; 0 is the same distribution.",
            )
        ],
        limits=[
            "These times were used for training. Ask for times that were not: scgauge.tl.held_out_time.",
            "Snapshots show no cell twice: which cell becomes which is an assumption of the model.",
        ],
        code="scgauge.tl.trajectory(adata, model)\nscgauge.pl.trajectory(adata)",
        numbers={f"followed_{row['time']:g}": row["followed"] for row in rows},
    )
