from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scgauge._core.checks import check_adata, check_obs_numbers
from scgauge.model._base import CountModel
from scgauge.model._subject_field import check_instruments, check_subjects, is_cohort
from scgauge.model._time_fields import check_baseline, check_growth, check_time

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import nn


def check_series(
    adata: AnnData,
    time_key: str,
    subject_key: str | None,
    instrument_key: str | None,
    growth_key: str | None,
    *,
    known: dict[str, Any] | None,
) -> bool:
    """Check times, subjects, instruments and growth rates; return whether subjects are cohorts of cells.

    `known` is the registry of a model that the rows are handed to, ``None`` for rows to train on.

    Raises
    ------
    KeyError
        If a column does not exist.
    TypeError
        If times are not numbers.
    ValueError
        If one of them is not what a model of time series needs, or instruments are those of cohorts.
    """
    if known is None:
        if instrument_key is not None:
            check_instruments(adata, instrument_key, subject_key)
        check_time(adata, time_key, snapshots=subject_key is None)
    cohort = None if known is None else is_cohort(known)
    cohort = subject_key is not None and check_subjects(adata, subject_key, time_key, cohort=cohort)
    if cohort and instrument_key is not None:
        message = (
            f"instrument_key={instrument_key!r} was given with several rows of a subject at one time; instruments "
            "measure individuals, one row for each of their visits."
        )
        raise ValueError(message)
    if growth_key is not None and known is None:
        check_growth(adata, growth_key, time_key, subject_key, cohort=cohort)
    return cohort


class TimeSeriesCells(CountModel):
    """Checks of a model of time series: of its arguments, and of cells or visits that it has not seen."""

    _subject_column: Any
    _is_cohort: Any

    def _check_dynamics(
        self,
        field: str | nn.Module,
        dynamics_kwargs: dict[str, Any] | None,
        baseline_dropout: float | None,
        n_groups: int,
    ) -> None:
        """Raise ValueError if arguments of the dynamics are out of range or do not fit the data."""
        if not isinstance(field, str) and dynamics_kwargs:
            message = "dynamics_kwargs are for fields given by name; a module has its arguments already."
            raise ValueError(message)
        if baseline_dropout is not None and not 0 <= baseline_dropout < 1:
            message = f"baseline_dropout={baseline_dropout!r} was given; a share in [0, 1) is needed."
            raise ValueError(message)
        if not isinstance(n_groups, int) or n_groups < 1 or (self._subject_column and n_groups > 1):
            need = "an integer of at least 1 is needed"
            if self._subject_column:
                need = "1 is needed for individuals; divide them with get_trajectory_groups"
            message = f"n_groups={n_groups!r} was given; {need}."
            raise ValueError(message)

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        """Check also the times of data that the model has not seen."""
        with warnings.catch_warnings():
            if self._subject_column is not None:
                # A single individual with two visits can be predicted.
                warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            if adata is not None:
                check_adata(adata)
                if self.get_anndata_manager(adata) is None:
                    self._check_other(adata)
            return CountModel._validate_anndata(self, adata, copy_if_view)

    def _check_other(self, adata: AnnData) -> None:
        """Raise an error unless data that the model has not seen have its times, subjects and baseline variables."""
        arguments = self.registry_["setup_args"]
        key, subject = arguments["time_key"], arguments.get("subject_key")
        growth = arguments.get("growth_key")
        for name, kind in ((key, "time"), (subject, "subject"), (growth, "growth rate")):
            if name is not None and name not in adata.obs:
                message = f"Did not find {name!r} in adata.obs, which the model was set up with as its {kind}."
                raise KeyError(message)
        if subject is not None:
            check_subjects(adata, subject, key, cohort=self._is_cohort)
        if growth is not None:
            check_obs_numbers(adata, growth, argument="growth_key")
        check_baseline(adata, arguments.get("baseline_keys") or (), subject, arguments.get("baseline_obsm_key"))
