"""Individuals that are seen several times: their field of the registry, and the checks of what they are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi.data.fields import CategoricalObsField

from scgauge._core.checks import check_obs_key
from scgauge._core.matrix import get_matrix, iter_rows
from scgauge._core.registry_keys import SUBJECT_KEY
from scgauge.model._time_fields import FEWEST_CELLS

if TYPE_CHECKING:
    from anndata import AnnData


class SubjectField(CategoricalObsField):
    """Subject of each visit or cell, as a number; subjects of other data need not be known.

    The registry also keeps the instrument of each item, if there are several, and whether subjects are cohorts of
    cells, with several rows at a time.
    """

    def __init__(
        self, registry_key: str, attr_key: str, instrument_key: str | None = None, *, cohort: bool = False
    ) -> None:
        super().__init__(registry_key, attr_key)
        self.instrument_key, self.cohort = instrument_key, cohort

    def register_field(self, adata: AnnData) -> dict:
        """Give each subject a number."""
        with warnings.catch_warnings():
            # Two visits are enough.
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            state = super().register_field(adata)
        key = self.instrument_key
        instruments = [] if key is None else adata.var[key].astype(str).tolist()
        return state | {"instruments": instruments, "cohort": self.cohort}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: Any) -> dict:
        """Give the subjects of other data numbers after those of the training data."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            state = super().transfer_field(state_registry, adata_target, **(kwargs | {"extend_categories": True}))
        kept = {"instruments": state_registry.get("instruments", []), "cohort": state_registry.get("cohort", False)}
        return state | kept


def is_cohort(registry: dict[str, Any]) -> bool:
    """Whether the subjects of registered rows are cohorts of cells instead of individuals at visits."""
    return bool(registry["field_registries"].get(SUBJECT_KEY, {}).get("state_registry", {}).get("cohort"))


def check_subjects(adata: AnnData, key: str, time_key: str, *, cohort: bool | None = None) -> bool:
    """Check the subjects of visits or cells; return whether they are cohorts, with several cells at a time.

    Parameters
    ----------
    adata
        Rows of the subjects.
    key, time_key
        Columns with the subject and the time.
    cohort
        What the subjects of a model are; ``None`` finds out, of rows to train on.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If a subject is missing, has two rows at one time, where that is a visit, or fewer cells at a time than a
        snapshot needs; or (for training) no subject has two times.
    """
    subject = check_obs_key(adata, key, argument="subject_key").astype(str)
    table = pd.DataFrame({"subject": subject.to_numpy(), "time": adata.obs[time_key].to_numpy(dtype=float)})
    sizes = table.value_counts()
    repeated, few = sizes[sizes > 1], sizes[sizes < FEWEST_CELLS]
    if len(repeated) and not cohort and (len(few) or cohort is not None):
        name, time = repeated.index[0]
        fewest = "" if cohort is not None else (
            f" Were they cohorts of cells, each would need at least {FEWEST_CELLS} cells at each of its times, which "
            f"{len(few)} of {len(sizes)} have not."
        )  # fmt: skip
        message = (
            f"The subject {name!r} has several rows at the time {time:g} ({repeated.sum()} such rows in all); a row is "
            f"one visit. Average them, or leave out subject_key to treat the cells as snapshots.{fewest}"
        )
        raise ValueError(message)
    if cohort is not None:
        return cohort
    visits = table.drop_duplicates()["subject"].value_counts()
    if (visits < 2).all():
        message = f"No subject in adata.obs[{key!r}] has two visits; dynamics of individuals need at least two of some."
        raise ValueError(message)
    single = sorted(visits.index[visits == 1])
    if single:
        warnings.warn(
            f"{len(single)} of {len(visits)} subjects have one visit, for example {single[0]!r}; they teach the "
            "autoencoder, not the dynamics.",
            UserWarning,
            stacklevel=4,
        )
    return bool(len(repeated))


def check_instruments(adata: AnnData, key: str, subject_key: str | None) -> None:
    """Check that a column of ``var`` divides items among instruments.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If there are no subjects, an item has no instrument, or an instrument has one item.
    """
    if subject_key is None:
        message = (
            f"instrument_key={key!r} was given without subject_key; instruments measure individuals. Pass the column "
            "of adata.obs that says whose visit a row is, subject_key=..."
        )
        raise ValueError(message)
    if key not in adata.var:
        message = f"Did not find instrument_key={key!r} in adata.var; found {list(adata.var.columns)}."
        raise KeyError(message)
    column = adata.var[key]
    if column.isna().any():
        message = (
            f"adata.var[{key!r}] is missing for the item {adata.var_names[column.isna()][0]!r}; name its instrument."
        )
        raise ValueError(message)
    sizes = column.astype(str).value_counts()
    if (sizes < 2).any():
        message = (
            f"The instrument {sizes.index[sizes < 2][0]!r} in adata.var[{key!r}] has one item, which cannot place a "
            "state. Count it to an instrument that is taken with it: single items may be missing (NaN)."
        )
        raise ValueError(message)


def check_taken(adata: AnnData, layer: str | None, instruments: list[str], subject: np.ndarray) -> None:
    """Check that each instrument was taken, and warn if two of them were never taken by one subject.

    Raises
    ------
    ValueError
        If an instrument was taken at no visit.
    """
    names = list(dict.fromkeys(instruments))
    taken = np.zeros((adata.n_obs, len(names)), dtype=bool)
    for rows, block in iter_rows(get_matrix(adata, layer)):
        measured = ~np.isnan(block.toarray() if hasattr(block, "toarray") else np.asarray(block))
        taken[rows] = np.column_stack([measured[:, np.asarray(instruments) == name].any(1) for name in names])
    if not taken.any(0).all():
        never = names[int(taken.any(0).argmin())]
        message = f"The instrument {never!r} was taken at no visit: all its items are NaN. Drop them."
        raise ValueError(message)
    by_subject = pd.DataFrame(taken).groupby(subject).any().to_numpy(dtype=int)
    apart = np.argwhere(np.triu(by_subject.T @ by_subject == 0))
    if len(apart):
        one, other = (names[index] for index in apart[0])
        warnings.warn(
            f"No subject has taken both {one!r} and {other!r}; only the dynamics and the baseline variables tie their "
            "encodings together.",
            UserWarning,
            stacklevel=5,
        )


def check_measured(adata: AnnData, layer: str | None, *, training: bool = True) -> None:
    """Check numbers of which single ones may be missing (NaN).

    Raises
    ------
    ValueError
        If an entry is infinite, or nothing of a visit or (for training) of an item was measured.
    """
    matrix = get_matrix(adata, layer)
    seen = np.zeros(adata.n_vars, dtype=int)
    for rows, block in iter_rows(matrix):
        values = block.toarray() if hasattr(block, "toarray") else np.asarray(block)
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            name = adata.obs_names[np.arange(adata.n_obs)[rows][row]]
            message = f"The visit {name!r} has an infinite value of {adata.var_names[column]!r}."
            raise ValueError(message)
        here = ~np.isnan(values)
        if not here.any(1).all():
            name = adata.obs_names[np.arange(adata.n_obs)[rows][int(np.argmin(here.any(1)))]]
            message = f"Nothing was measured at the visit {name!r}: all its items are NaN. Drop such visits."
            raise ValueError(message)
        seen += here.sum(0)
    if training and not seen.all():
        message = f"The item {adata.var_names[int(np.argmin(seen))]!r} is NaN in all visits. Drop such items."
        raise ValueError(message)
