"""What a vector field does near a point: eigenvalues, half-lives, fixed points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

if TYPE_CHECKING:
    from torch import Tensor


def _eigen_columns(matrix: np.ndarray) -> dict[str, float]:
    """Eigenvalues by falling real part, with the time in which each part halves (negative: doubles)."""
    values = np.linalg.eigvals(matrix)
    values = values[np.lexsort((-values.imag, -values.real))]
    columns: dict[str, float] = {}
    for index, value in enumerate(values, start=1):
        columns[f"eigenvalue_{index}_real"] = float(value.real)
        columns[f"eigenvalue_{index}_imag"] = float(value.imag)
        columns[f"half_life_{index}"] = float(-np.log(2) / value.real) if value.real else float("inf")
    return columns


def describe_system(matrix: np.ndarray, offset: np.ndarray) -> pd.DataFrame:
    """Return entries, eigenvalues, half-lives and the fixed point of an affine system as a table of one row."""
    size = len(offset)
    row: dict[str, float] = {"time": float("nan")}
    row |= {f"a{i + 1}{j + 1}": float(matrix[i, j]) for i in range(size) for j in range(size)}
    row |= {f"c{i + 1}": float(offset[i]) for i in range(size)}
    row |= _eigen_columns(matrix)
    regular = np.linalg.matrix_rank(matrix) == size
    fixed = -np.linalg.solve(matrix, offset) if regular else np.full(size, np.nan)
    row |= {f"fixed_point_{i + 1}": float(fixed[i]) for i in range(size)}
    return pd.DataFrame([row])


def describe_local(
    module: Any, points: Tensor, times: np.ndarray, baseline: Tensor | None = None, group: Tensor | None = None
) -> pd.DataFrame:
    """Return speed and eigenvalues of the Jacobian of a field at one point for each time."""
    rows = []
    for point, time in zip(points, times, strict=True):
        t = torch.full((1,), float(module.scale_time(time)), dtype=point.dtype, device=point.device)

        def field(z: Tensor, t: Tensor = t) -> Tensor:
            return module.velocity(t, z[None], baseline, group)[0] / module.span

        jacobian = torch.autograd.functional.jacobian(field, point).double().cpu().numpy()
        rows.append({"time": float(time), "speed": float(field(point).norm())} | _eigen_columns(jacobian))
    return pd.DataFrame(rows)
