"""Fields of the registry that only time series have, and the checks of what they read."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from scvi.data.fields import NumericalJointObsField, NumericalObsField

from scgauge._core.checks import check_obs_key, check_obs_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

#: Fewest cells of a snapshot that a distribution can be learnt from.
FEWEST_CELLS = 5


class TimeField(NumericalObsField):
    """Real times of cells; the registry keeps the distinct training times."""

    def register_field(self, adata: AnnData) -> dict:
        """Register the column and note its distinct values."""
        times = np.unique(np.asarray(adata.obs[self.attr_key], dtype=float))
        return super().register_field(adata) | {"times": times.tolist()}


def baseline_table(adata: AnnData, keys: Sequence[str], obsm_key: str | None) -> pd.DataFrame:
    """Return the baseline variables of each row: columns of ``obs``, or a matrix or table of ``obsm``.

    Raises
    ------
    KeyError
        If a column or the table does not exist.
    """
    for key in keys:
        check_obs_key(adata, key, argument="baseline_keys")
    if obsm_key is None:
        return adata.obs[list(keys)]
    if obsm_key not in adata.obsm:
        message = f"Did not find {obsm_key!r} in adata.obsm for baseline_obsm_key; it has {sorted(adata.obsm)}."
        raise KeyError(message)
    table = adata.obsm[obsm_key]
    if isinstance(table, pd.DataFrame):
        return table
    values = np.asarray(table, dtype=float).reshape(adata.n_obs, -1)
    names = [f"{obsm_key}_{index}" for index in range(values.shape[1])]
    return pd.DataFrame(values, index=adata.obs_names, columns=names)


class BaselineField(NumericalJointObsField):
    """Baseline variables of cells or individuals: numbers as they are, categories as one column each."""

    def __init__(self, registry_key: str, keys: list[str] | None, obsm_key: str | None = None) -> None:
        super().__init__(registry_key, keys)
        self.obsm_key = obsm_key
        self._is_empty = not keys and obsm_key is None

    def get_summary_stats(self, state_registry: dict) -> dict:
        """Return the number of columns of the design."""
        return {self.count_stat_key: len(state_registry.get(self.COLUMNS_KEY, ()))}

    def _design(self, adata: AnnData, levels: dict[str, list[str]]) -> pd.DataFrame:
        columns = {}
        table = baseline_table(adata, self.attr_keys, self.obsm_key)
        for key in table.columns:
            values = table[key]
            if key not in levels:
                columns[key] = values.astype(float).to_numpy()
                continue
            text = values.astype(str).to_numpy()
            unseen = sorted(set(text) - set(levels[key]))
            if unseen:
                message = f"The baseline variable {key!r} has the categories {unseen}; the model knows {levels[key]}."
                raise ValueError(message)
            columns |= {f"{key}={level}": (text == level).astype(float) for level in levels[key]}
        return pd.DataFrame(columns, index=adata.obs_names)

    def _levels(self, adata: AnnData) -> dict[str, list[str]]:
        table = baseline_table(adata, self.attr_keys, self.obsm_key)
        text = [key for key in table.columns if not pd.api.types.is_numeric_dtype(table[key])]
        return {key: sorted(table[key].astype(str).unique()) for key in text}

    def register_field(self, adata: AnnData) -> dict:
        """Write the design and note names and categories of its columns."""
        levels = self._levels(adata)
        design = self._design(adata, levels)
        adata.obsm[self.attr_key] = design
        return {self.COLUMNS_KEY: np.asarray(design.columns.astype(str)), "levels": levels}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: Any) -> dict:
        """Write the design of other data by the categories of the training data."""
        self.validate_field(adata_target)
        adata_target.obsm[self.attr_key] = self._design(adata_target, state_registry["levels"])
        return dict(state_registry)


def check_time(adata: AnnData, key: str, *, snapshots: bool = True) -> np.ndarray:
    """Return the distinct times of cells.

    Raises
    ------
    KeyError
        If the column does not exist.
    TypeError
        If the times are not numbers.
    ValueError
        If a time is missing or not finite, there is one only, or a snapshot has too few cells.
    """
    column = check_obs_key(adata, key, argument="time_key")
    if not pd.api.types.is_numeric_dtype(column):
        message = (
            f"adata.obs[{key!r}] has the dtype {column.dtype}; real times are numbers, for example hours. "
            f"Run: adata.obs[{key!r}] = adata.obs[{key!r}].map({{name: number, ...}}).astype(float)"
        )
        raise TypeError(message)
    values = column.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        message = f"adata.obs[{key!r}] has {int((~np.isfinite(values)).sum())} times that are not finite."
        raise ValueError(message)
    times, sizes = np.unique(values, return_counts=True)
    if len(times) < 2:
        message = f"adata.obs[{key!r}] has one time only, {times[0]:g}; dynamics need at least two."
        raise ValueError(message)
    if snapshots and (sizes < FEWEST_CELLS).any():
        few = times[sizes < FEWEST_CELLS]
        shown = ", ".join(
            f"{time:g} ({size})" for time, size in zip(few[:5], sizes[sizes < FEWEST_CELLS], strict=False)
        )
        message = (
            f"{len(few)} of {len(times)} times in adata.obs[{key!r}] have fewer than {FEWEST_CELLS} cells: {shown}. A "
            "snapshot needs more. Drop them, or bin a continuous time: "
            f"adata.obs['time_bin'] = pd.cut(adata.obs[{key!r}], 8).map(lambda bin: bin.mid).astype(float)"
        )
        raise ValueError(message)
    return times


def check_growth(
    adata: AnnData, key: str, time_key: str, subject_key: str | None = None, *, cohort: bool = False
) -> None:
    """Check net growth rates of cells.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If they are not finite numbers, or of individuals at visits, or so large that the next snapshot would stem from
        a handful of cells.
    """
    rate, own = check_obs_numbers(adata, key, argument="growth_key"), adata.obs[time_key].to_numpy(dtype=float)
    if subject_key is not None and not cohort:
        message = (
            f"growth_key={key!r} and subject_key={subject_key!r} were given; growth is that of cells in snapshots, "
            "individuals at visits do not multiply. Leave one out."
        )
        raise ValueError(message)
    subject = np.zeros(adata.n_obs) if subject_key is None else adata.obs[subject_key].astype(str).to_numpy()
    for rows in pd.Series(own).groupby(subject).indices.values():
        _check_ancestors(rate[rows], own[rows], key, time_key)


def _check_ancestors(rate: np.ndarray, own: np.ndarray, key: str, time_key: str) -> None:
    """Raise ValueError if the cells of a time stem from a handful of those of the time before."""
    times = np.unique(own)
    for time, gap in zip(times, np.diff(times), strict=False):
        weight = softmax(rate[own == time] * gap)
        effective = 1 / np.square(weight).sum()
        if effective < FEWEST_CELLS * (1 - 1e-9):
            message = (
                f"By the growth rates in adata.obs[{key!r}] the cells at the time {time + gap:g} stem from "
                f"{effective:.1f} of {len(weight)} cells at {time:g}, in effect; at least {FEWEST_CELLS} are needed. "
                f"Rates are births minus deaths per unit of {time_key!r}: the logarithm of how many times a cell "
                "multiplies, divided by the time it takes."
            )
            raise ValueError(message)


def check_baseline(adata: AnnData, keys: Sequence[str], subject_key: str | None, obsm_key: str | None = None) -> None:
    """Check baseline variables.

    Raises
    ------
    KeyError
        If a column does not exist.
    ValueError
        If both kinds are given, or values are missing or not finite, or change within a subject.
    """
    if len(keys) and obsm_key is not None:
        message = "baseline_keys and baseline_obsm_key were given; put the variables into one of them."
        raise ValueError(message)
    table = baseline_table(adata, keys, obsm_key)
    for key in table.columns:
        column = table[key]
        numeric = pd.api.types.is_numeric_dtype(column)
        known = np.isfinite(column.to_numpy(dtype=float)) if numeric else column.notna().to_numpy()
        if not known.all():
            row = adata.obs_names[int(np.argmin(known))]
            where = row if subject_key is None else adata.obs.loc[row, subject_key]
            message = (
                f"The baseline variable {key!r} has {int((~known).sum())} values that are missing or not finite, for "
                f"example of {str(where)!r}. Impute them or drop the variable."
            )
            raise ValueError(message)
        if subject_key is None:
            continue
        counts = column.astype(object).groupby(adata.obs[subject_key].to_numpy()).nunique()
        if (counts > 1).any():
            changed = str(counts.index[counts > 1][0])
            message = (
                f"The baseline variable {key!r} changes within the subject {changed!r}; a baseline "
                "is one value for all rows of a subject."
            )
            raise ValueError(message)


def warn_of_confounding(adata: AnnData, time_key: str, batch_key: str | None) -> None:
    """Warn if batches fall apart into sets that share no time."""
    if batch_key is None or batch_key not in adata.obs:
        return
    table = pd.crosstab(adata.obs[batch_key].astype(str), adata.obs[time_key]).to_numpy() > 0
    names = sorted(adata.obs[batch_key].astype(str).unique())
    reached: set[int] = {0}
    while True:
        times = table[sorted(reached)].any(0)
        found = {int(row) for row in np.flatnonzero(table[:, times].any(1))}
        if found == reached:
            break
        reached = found
    if len(reached) < len(table):
        one, other = ([names[i] for i in range(len(names)) if (i in reached) == inside] for inside in (True, False))
        warnings.warn(
            f"Batch and time are confounded: the batches {one} share no time with {other}. A change between them can "
            "be a batch effect or dynamics; the model cannot tell which.",
            UserWarning,
            stacklevel=3,
        )
