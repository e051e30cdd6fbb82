"""Individuals that are seen several times: their field of the registry, and the checks of what they are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi.data.fields import CategoricalObsField

from scgauge._core.checks import check_obs_key
from scgauge._core.matrix import get_matrix, iter_rows

if TYPE_CHECKING:
    from anndata import AnnData


class SubjectField(CategoricalObsField):
    """Subject of each visit, as a number; subjects of other data need not be known."""

    def register_field(self, adata: AnnData) -> dict:
        """Give each subject a number."""
        with warnings.catch_warnings():
            # Two visits are enough.
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            return super().register_field(adata)

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: Any) -> dict:
        """Give the subjects of other data numbers after those of the training data."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            return super().transfer_field(state_registry, adata_target, **(kwargs | {"extend_categories": True}))


def check_subjects(adata: AnnData, key: str, time_key: str, *, training: bool = True) -> None:
    """Check that rows are visits of subjects.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If a subject is missing, has two rows at one time, or (for training) no subject has two visits.
    """
    subject = check_obs_key(adata, key, argument="subject_key").astype(str)
    table = pd.DataFrame({"subject": subject.to_numpy(), "time": adata.obs[time_key].to_numpy(dtype=float)})
    twice = table[table.duplicated(keep=False)]
    if len(twice):
        first = twice.iloc[0]
        message = (
            f"The subject {first['subject']!r} has several rows at the time {first['time']:g} ({len(twice)} such rows "
            "in all); a row is one visit. Average them, or leave out subject_key to treat the cells as snapshots."
        )
        raise ValueError(message)
    visits = table["subject"].value_counts()
    if not training:
        return
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
