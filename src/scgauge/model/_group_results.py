"""Groups that a model with a mixture of dynamics has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import ArrayLike

#: Cells of the first snapshot whose mean course stands for a group.
_FOLLOWED = 1000


class GroupResults:
    """Which group each cell belongs to, and where the groups go."""

    module: Any
    adata: Any
    _subject_key: Any
    _cells: Callable[..., Any]
    _times: Callable[..., np.ndarray]
    _scaled: Callable[..., np.ndarray]
    _check_times: Callable[..., np.ndarray]
    _baseline: Callable[..., Any]
    _latent: Callable[..., np.ndarray]
    _tensor: Callable[..., torch.Tensor]
    _move: Callable[..., np.ndarray]

    def _need_snapshots(self) -> None:
        if self._subject_key is not None:
            message = (
                "The model was set up with subject_key; divide individuals with get_trajectory_groups(n_groups=2)."
            )
            raise ValueError(message)

    @torch.no_grad()
    def _group_probability(self, z: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the probabilities of the groups at latent points and times in the unit of the user."""
        scaled = torch.as_tensor(self._scaled(times), device=self.module.device)
        return self.module.group_probability(self._tensor(z), scaled).double().cpu().numpy()

    def _group_rows(self, codes: np.ndarray) -> torch.Tensor:
        """Return numbers of groups as rows of zeros and a one."""
        return self._tensor(np.eye(self.module.n_groups)[codes])

    def _draw_groups(self, z: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the group of each latent point."""
        if self.module.n_groups == 1:
            return np.zeros(len(z), dtype=int)
        cumulated = self._group_probability(z, times).cumsum(1)
        return (cumulated < rng.random((len(z), 1)) * cumulated[:, -1:]).sum(1)

    def get_groups(self, adata: AnnData | None = None, *, indices: ArrayLike | None = None) -> pd.DataFrame:
        """Return the probability of each group of a model with several dynamics (`n_groups`), for each cell.

        The probabilities follow from where the groups lie in the latent space at the time of the cell. Where two of
        them lie on each other, as before a branching, they are the shares of the groups.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells to use, all if ``None``.

        Returns
        -------
        Table with one row for each cell: ``"group"``, the most probable one, a category from ``"0"`` for the largest
        group on, and ``"probability_0"``, ... of the groups, which sum to 1.

        Raises
        ------
        ValueError
            If the model knows individuals instead of snapshots.
        RuntimeError
            If the model is not trained.
        """
        self._need_snapshots()
        adata, rows = self._cells(adata, indices)
        probability = self._group_probability(self._latent(adata, rows, None), self._times(adata)[rows])
        names = [str(index) for index in range(self.module.n_groups)]
        table = pd.DataFrame(
            probability, index=adata.obs_names[rows], columns=[f"probability_{name}" for name in names]
        )
        table.insert(0, "group", pd.Categorical.from_codes(probability.argmax(1), names))
        return table

    def get_group_trajectories(self, *, times: ArrayLike) -> np.ndarray:
        """Return the mean course of each group: cells of the first snapshot, weighted by their probability.

        Parameters
        ----------
        times
            Times to pass through, in the unit of the user.

        Returns
        -------
        Latent points, ``(n_groups, n_times, n_latent)``.

        Raises
        ------
        ValueError
            If times are not finite numbers, or the model knows individuals instead of snapshots.
        RuntimeError
            If the model is not trained.
        """
        self._need_snapshots()
        wanted = self._check_times(times)
        adata, _ = self._cells(None, None)
        own = self._times(adata)
        rows = np.flatnonzero(own == own.min())
        rows = rows[:: max(1, len(rows) // _FOLLOWED)]
        z = self._latent(adata, rows, None)
        probability = self._group_probability(z, own[rows])
        begin, goals = float(self._scaled(own.min())), self._scaled(wanted).tolist()
        paths = np.empty((self.module.n_groups, len(wanted), z.shape[1]))
        for group in range(self.module.n_groups):
            theirs = self._group_rows(np.full(len(rows), group))
            theta = self.module.theta(len(rows), self._baseline(adata, rows), theirs).detach()
            paths[group] = np.average(self._move(z, begin, goals, theta), axis=0, weights=probability[:, group])
        return paths
