from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scgauge.model._eigen import describe_local, describe_system
from scgauge.nn.dynamics import LocalLinear, LotkaVolterra, Neural, Potential, theta_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


class ParameterResults:
    """What the equations of a trained model are."""

    module: Any
    _subject_column: Any
    _cells: Callable[..., Any]
    _times: Callable[..., np.ndarray]
    _baseline: Callable[..., Any]
    _latent: Callable[..., np.ndarray]
    _tensor: Callable[..., torch.Tensor]
    _group_probability: Callable[..., np.ndarray]
    _group_rows: Callable[..., torch.Tensor]
    _first_rows: Callable[..., np.ndarray]

    @torch.no_grad()
    def get_ode_parameters(self, adata: AnnData | None = None) -> pd.DataFrame:
        """Return what the dynamics are, in the unit of the user's time.

        Linear and affine fields have one row: the entries of the matrix (``a11``, ...) and of the offset (``c1``, ...),
        the eigenvalues, their half-lives (doubling times where growing, negative) and the fixed point if there is one.
        Fields of other kinds with parameters have these. A learned field has one row for each training time: the
        eigenvalues of its Jacobian and its speed at the mean of the cells of that time.

        A model with several groups (`n_groups`) has these rows for each of them; the column ``group`` names it.

        A model of individuals or cohorts (`subject_key`) has one row for each subject; the column ``subject`` names it.
        Those of a learned field are at its mean latent point and mean time.

        Parameters
        ----------
        adata
            Individuals to describe, those of the model if ``None``; not read without `subject_key`.

        Returns
        -------
        Table with the column ``time`` (missing for fields that do not change) and one column for each quantity.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        """
        if self._subject_column is not None:
            return self._subject_parameters(adata)
        adata, rows = self._cells(None, None)
        z, own = self._latent(adata, rows, None), self._times(adata)
        if self.module.n_groups == 1:
            return self._group_parameters(z, own, None, 0)
        probability, parts = self._group_probability(z, own), []
        for group in range(self.module.n_groups):
            table = self._group_parameters(z, own, probability[:, group], group)
            table.insert(0, "group", str(group))
            parts.append(table)
        return pd.concat(parts, ignore_index=True)

    def _group_parameters(self, z: np.ndarray, own: np.ndarray, weight: np.ndarray | None, group: int) -> pd.DataFrame:
        """Parameters of a group, whose cells are given by their weight (``None``: all)."""
        module = self.module.eval()
        theirs = self._group_rows(np.array([group]))
        theta = module.theta(1, None, theirs)
        if hasattr(module.field, "system"):
            matrix, offset = (part[0].double().cpu().numpy() / module.span for part in module.field.system(theta))
            return describe_system(matrix, offset)
        if theta_names(module.field) and not isinstance(module.field, Neural | Potential | LocalLinear):
            return self._named_parameters(theta)
        times = np.unique(own)
        if weight is None:
            centres = [z[own == time].mean(0) for time in times]
        else:
            centres = [np.average(z[own == time], axis=0, weights=weight[own == time]) for time in times]
        return describe_local(module, self._tensor(np.stack(centres)), times, group=theirs)

    def _named_parameters(self, theta: torch.Tensor) -> pd.DataFrame:
        """Parameters of fields that name them; logarithms of rates are those of rates per unit of the user's time."""
        names = theta_names(self.module.field)
        values = theta.double().cpu().numpy().copy()
        if isinstance(self.module.field, LotkaVolterra):
            values -= np.log(self.module.span)
        return pd.DataFrame(values, columns=names)

    def _subject_parameters(self, adata: AnnData | None) -> pd.DataFrame:
        """Parameters of each individual."""
        adata, rows = self._cells(adata, None)
        first = self._first_rows(adata, rows)
        module = self.module.eval()
        theta = module.theta(len(first), self._baseline(adata, first))
        subjects = adata.obs[self._subject_column].astype(str).to_numpy()
        if hasattr(module.field, "system"):
            systems = zip(
                *(part.double().cpu().numpy() / module.span for part in module.field.system(theta)), strict=True
            )
            table = pd.concat([describe_system(*system) for system in systems], ignore_index=True)
        elif theta_names(module.field) and not isinstance(module.field, Neural | Potential | LocalLinear):
            table = self._named_parameters(theta)
        else:
            z, own = self._latent(adata, rows, None), self._times(adata)
            mine = [subjects == subjects[row] for row in first]
            centres = self._tensor(np.stack([z[row].mean(0) for row in mine]))
            baseline = self._baseline(adata, first)
            parts = [
                describe_local(
                    module, centres[[i]], np.array([own[row].mean()]), None if baseline is None else baseline[[i]]
                )
                for i, row in enumerate(mine)
            ]
            table = pd.concat(parts, ignore_index=True)
        table.insert(0, "subject", subjects[first])
        return table
