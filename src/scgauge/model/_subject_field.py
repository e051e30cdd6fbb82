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

    The registry keeps whether subjects are cohorts of cells, with several rows at a time.
    """

    def __init__(self, registry_key: str, attr_key: str, *, cohort: bool = False) -> None:
        super().__init__(registry_key, attr_key)
        self.cohort = cohort

    def register_field(self, adata: AnnData) -> dict:
        """Give each subject a number."""
        with warnings.catch_warnings():
            # Two visits are enough.
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            return super().register_field(adata) | {"cohort": self.cohort}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: Any) -> dict:
        """Give the subjects of other data numbers after those of the training data."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            found = super().transfer_field(state_registry, adata_target, **(kwargs | {"extend_categories": True}))
        return found | {"cohort": state_registry.get("cohort", False)}


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


def check_measured(adata: AnnData, layer: str | None) -> None:
    """Check numbers of which single ones may be missing (NaN).

    Raises
    ------
    ValueError
        If an entry is infinite, or nothing of a visit or of an item was measured.
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
    if not seen.all():
        message = f"The item {adata.var_names[int(np.argmin(seen))]!r} is NaN in all visits. Drop such items."
        raise ValueError(message)
