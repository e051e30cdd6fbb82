"""Predictions of a held-out time for cohorts: of each subject by itself, in the shares of the real cells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from scgauge.metrics import energy_distance, wasserstein_distance
from scgauge.tl._held_out_scores import DIMENSIONS, naive_predictions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scgauge.tl._held_out_scores import Space

#: Fewest cells on each side of the comparison of a subject.
_FEWEST = 2


class Around(NamedTuple):
    """Cells of the training times before and after a time (``None`` if there is none), and the share of the way."""

    before: Any
    after: Any
    weight: float


class Cloud(NamedTuple):
    """Expression of cells ``(n, n_genes)`` and the subject of each, ``(n,)``."""

    expression: np.ndarray
    subject: np.ndarray


def scored_subjects(
    subject: np.ndarray, own: np.ndarray, held: list[float], time: float, *, warn: bool = True
) -> np.ndarray:
    """Return the subjects that are scored at a held-out time: those with cells there and two times left.

    Parameters
    ----------
    subject, own
        Subject and time of each cell.
    held
        All times that are held out together.
    time
        The one to score.
    warn
        Whether to warn of subjects that are left out.

    Raises
    ------
    ValueError
        If no subject is left.
    """
    there = np.unique(subject[own == time])
    left = ~np.isin(own, held)
    n_times = pd.Series(own[left]).groupby(subject[left]).nunique().reindex(there, fill_value=0)
    lost = sorted(n_times.index[n_times < 2])
    if len(lost) == len(there):
        message = (
            f"Without the times {held} none of the {len(there)} subjects with cells at {time:g} has two times left, "
            "which dynamics need. Hold out fewer times together, or times of subjects with at least three."
        )
        raise ValueError(message)
    if lost and warn:
        warnings.warn(
            f"{len(lost)} of {len(there)} subjects with cells at {time:g} have fewer than two times left, for example "
            f"{lost[0]!r}; they are left out of the scores.",
            UserWarning,
            stacklevel=5,
        )
    return np.setdiff1d(there, lost)


def sizes_in_shares(subject: np.ndarray, names: np.ndarray, n_cells: int) -> np.ndarray:
    """Divide a number of cells among subjects in the shares that they have of some cells, ``(n_names,)``."""
    found = np.array([(subject == name).sum() for name in names])
    return np.diff(np.rint(n_cells * np.cumsum([0, *found]) / found.sum())).astype(int)


def naive_clouds(
    space: Space, around: Mapping[str, Around], sizes: np.ndarray, rng: np.random.Generator
) -> dict[str, Cloud]:
    """Predict each subject from its own cells, without a model.

    A prediction that some subject cannot have, since it has no cells before or after the time, is left out.

    Parameters
    ----------
    space
        Space of the training cells.
    around
        Subjects and their cells at the training times around the one held out.
    sizes
        Number of cells to predict of each, ``(n_subjects,)``.
    rng
        Source of randomness.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for near, size in zip(around.values(), sizes.tolist(), strict=True):
        for method, cells in naive_predictions(space, *near, max(size, 1), rng):
            # Copies have the number of cells of another time: each cell equally often, as far as possible.
            order = [rng.permutation(len(cells)) for _ in range(-(-max(size, 1) // len(cells)))]
            parts.setdefault(method, []).append(cells[np.concatenate(order)[:size]])
    of = np.repeat(list(around), sizes)
    return {method: Cloud(np.concatenate(all_), of) for method, all_ in parts.items() if len(all_) == len(around)}


def drawn_in_shares(subject: np.ndarray, names: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return rows with so many cells of each subject, in the order of the subjects."""
    return np.concatenate(
        [rng.permutation(np.flatnonzero(subject == name))[:size] for name, size in zip(names, sizes, strict=True)]
    )


def subject_scores(
    space: Space, real: Cloud, predicted: Cloud, most: dict[str, int], seed: int
) -> list[tuple[str, str, float]]:
    """Return rows (space, statistic, value): means over subjects of their own distances, which weigh alike.

    Parameters
    ----------
    space
        Space of the training cells.
    real, predicted
        Cells.
    most
        Subjects and the number of cells of each to compare, the same for all predictions: distances of small samples
        grow as these shrink.
    seed
        Seed of the draws of real cells.
    """
    rng = np.random.default_rng(seed)
    found: dict[tuple[str, str], list[float]] = {}
    for name, n in most.items():
        # Predicted cells are in random order.
        mine = space.project(predicted.expression[predicted.subject == name][:n])
        theirs = space.project(rng.permutation(real.expression[real.subject == name])[:n])
        for n_dims in DIMENSIONS:
            if n_dims <= len(space.sd):
                x, y = mine[:, :n_dims], theirs[:, :n_dims]
                for statistic, value in (
                    ("subject_wasserstein", wasserstein_distance(x, y)),
                    ("subject_energy", energy_distance(x, y, estimator="v")),
                ):
                    found.setdefault((f"pca{n_dims}", statistic), []).append(value)
    return [(*key, float(np.mean(values))) for key, values in found.items()]


def compared_cells(around: Mapping[str, Around], real: np.ndarray, sizes: np.ndarray) -> dict[str, int]:
    """Return how many cells of each subject are compared: as many as every prediction and half of the real cells have.

    Subjects with fewer than two are left out. `real` are the subjects of the real cells, the rest is as above.
    """
    found = {}
    for (name, near), size in zip(around.items(), sizes.tolist(), strict=True):
        known = [part.shape[0] for part in (near.before, near.after) if part is not None]
        found[name] = min(size, int((real == name).sum()) // 2, *known)
    return {name: n for name, n in found.items() if n >= _FEWEST}


def halves(real: Cloud, rng: np.random.Generator) -> tuple[Cloud, Cloud]:
    """Divide the cells of each subject into two halves at random."""
    first, second = [], []
    for name in np.unique(real.subject):
        rows = rng.permutation(np.flatnonzero(real.subject == name))
        first.append(rows[: len(rows) // 2])
        second.append(rows[len(rows) // 2 :])
    one, other = (np.concatenate(parts) for parts in (first, second))
    return tuple(Cloud(real.expression[rows], real.subject[rows]) for rows in (one, other))  # type: ignore[return-value]
