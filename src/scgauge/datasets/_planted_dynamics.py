"""The planted dynamics of the simulators: published two-dimensional systems, solved by scipy."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp
from scipy.linalg import expm

Design = Literal["linear-2", "linear-4", "lotka-volterra"]
DESIGNS: tuple[str, ...] = get_args(Design)

#: Parameters of up to four groups: entries a11, a12, a21, a22 of a linear system, or alpha, beta, gamma, delta.
_PARAMETERS = {
    "linear-2": [(-0.2, 0.0, 0.0, -0.2), (-0.2, 0.0, 0.0, 0.2), (0.1, 0.0, 0.0, -0.2), (0.1, 0.0, 0.0, 0.1)],
    "linear-4": [(-0.2, 0.1, 0.1, -0.2), (-0.2, 0.1, -0.1, 0.25), (0.1, -0.3, 0.3, -0.1), (-0.1, -0.2, 0.2, 0.1)],
    "lotka-volterra": [(1.0, 1.0, 1.0, 0.5), (0.5, 1.0, 1.0, 2.0), (1.5, 1.0, 1.0, 1.5), (0.5, 1.0, 1.0, 0.5)],
}
NAMES = {
    "linear-2": ("a11", "a12", "a21", "a22"),
    "linear-4": ("a11", "a12", "a21", "a22"),
    "lotka-volterra": ("alpha", "beta", "gamma", "delta"),
}
START = {"linear-2": (2.0, 1.0), "linear-4": (4.0, 2.0), "lotka-volterra": (2.0, 2.0)}


def parameters(design: str, n_groups: int) -> pd.DataFrame:
    """Return the parameters of each group, one row a group.

    Raises
    ------
    ValueError
        If the design is unknown or has fewer groups.
    """
    if design not in DESIGNS:
        message = f"design={design!r} was given; choose from {list(DESIGNS)}."
        raise ValueError(message)
    most = len(_PARAMETERS[design])
    if not isinstance(n_groups, int | np.integer) or not 1 <= n_groups <= most:
        message = f"n_groups={n_groups!r} was given; an integer from 1 to {most} is needed."
        raise ValueError(message)
    table = pd.DataFrame(_PARAMETERS[design][:n_groups], columns=list(NAMES[design]))
    table.insert(0, "group", [f"group_{index}" for index in range(n_groups)])
    return table


def trajectory(design: str, values: np.ndarray, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Solve one system at sorted times from 0 on, ``(n_times, 2)``."""
    if design != "lotka-volterra":
        matrix = np.asarray(values, dtype=float).reshape(2, 2)
        return np.array([expm(matrix * time) @ start for time in times])
    alpha, beta, gamma, delta = values

    def derivative(_: float, u: np.ndarray) -> list[float]:
        return [alpha * u[0] - beta * u[0] * u[1], delta * u[0] * u[1] - gamma * u[1]]

    last = max(float(np.max(times)), 1e-9)
    found = solve_ivp(derivative, (0.0, last), start, t_eval=times, rtol=1e-9, atol=1e-11)
    return found.y.T


def trajectories(table: pd.DataFrame, design: str, starts: np.ndarray, grid: np.ndarray) -> pd.DataFrame:
    """Return the states of every group on a grid of times as a tidy table."""
    parts = []
    for row, start in zip(table.itertuples(index=False), starts, strict=True):
        states = trajectory(design, np.array(row[1:], dtype=float), start, grid)
        parts.append(pd.DataFrame({"group": row[0], "time": grid, "u1": states[:, 0], "u2": states[:, 1]}))
    return pd.concat(parts, ignore_index=True)
