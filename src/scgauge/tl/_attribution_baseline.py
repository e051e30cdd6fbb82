"""Cells without signal, from which attributions start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.matrix import column_sums, row_sums
from scgauge.metrics._distances import dense_rows
from scgauge.metrics._points import as_dense

if TYPE_CHECKING:
    from collections.abc import Callable

    from scgauge._core.matrix import Matrix

    #: Baselines of some rows of the data, ``(n_rows or 1, n_genes)``, one array for each reference.
    Baselines = Callable[[np.ndarray], list[np.ndarray]]


def _profiles(matrix: Matrix, codes: np.ndarray, n_groups: int, *, counts: bool) -> np.ndarray:
    """Pooled profile of each group, ``(n_groups, n_genes)``: shares of the library for counts, else means."""
    profiles = np.zeros((n_groups, matrix.shape[1]))
    for group in range(n_groups):
        rows = np.flatnonzero(codes == group)
        if len(rows):
            total = column_sums(matrix, rows)
            profiles[group] = total / (total.sum() if counts else len(rows))
    return profiles


def mean_baselines(matrix: Matrix, codes: np.ndarray, *, counts: bool) -> Baselines:
    """Mean profile of the group of each cell, for counts scaled to the library size of the cell."""
    profiles = _profiles(matrix, codes, int(codes.max()) + 1, counts=counts)
    scale = row_sums(matrix) if counts else np.ones(matrix.shape[0])
    return lambda rows: [profiles[codes[rows]] * scale[rows, None]]


def drawn_baselines(matrix: Matrix, codes: np.ndarray, n_references: int, rng: np.random.Generator) -> Baselines:
    """Cells of the group of each cell, drawn once."""
    groups = range(int(codes.max()) + 1)
    drawn = np.array([rng.choice(np.flatnonzero(codes == group), n_references) for group in groups])

    def baselines(rows: np.ndarray) -> list[np.ndarray]:
        return [dense_rows(matrix, drawn[codes[rows], number]) for number in range(n_references)]

    return baselines


def given_baselines(baseline: Any, n_genes: int, genes: np.ndarray) -> Baselines:
    """Profiles of the caller, ``(n_genes,)`` or ``(n_references, n_genes)``, in the genes of the data.

    Raises
    ------
    ValueError
        If shape or values are wrong.
    """
    profiles = np.atleast_2d(as_dense(baseline, name="baseline"))
    if profiles.ndim != 2 or profiles.shape[1] != n_genes or not np.isfinite(profiles).all():
        message = (
            f"`baseline` has the shape {np.shape(baseline)}; finite values of the shape ({n_genes},) or "
            f"(n_references, {n_genes}) are needed, in the order of adata.var_names."
        )
        raise ValueError(message)
    rows = [profile[None, genes] for profile in profiles]
    return lambda _: rows
