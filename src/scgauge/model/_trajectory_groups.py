from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata
from scgauge._core.optional import later
from scgauge._core.rng import RNG, generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

#: Most principal components of the paths that are clustered.
_COMPONENTS = 10
#: Times at which trajectories of individuals are compared.
_GRID = 21


class TrajectoryGroups:
    """Groups of cells by where the dynamics carry them."""

    adata: Any
    module: Any
    _subject_key: Any
    get_trajectories: Callable[..., np.ndarray]

    def get_trajectory_groups(
        self, adata: AnnData | None = None, *, n_groups: int = 2, rng: RNG = None
    ) -> pd.DataFrame:
        """Divide cells of all times into groups whose trajectories run together.

        Each cell is followed, forward and backward, through all training times; the paths are reduced to principal
        components and divided by a mixture of normal distributions. Cells of different times that lie on one way thus
        share a group. Where ways have not parted yet, at the start of a branching, the probabilities follow where the
        field carries the cell; near a branching point they are as uncertain as the field.

        A model of individuals (`subject_key`) divides these, by their trajectories over the training times.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        n_groups
            Number of groups.
        rng
            Seed or Generator of the mixture's starts.

        Returns
        -------
        Table with one row for each cell (of individuals, for each of them): ``"group"``, a category from ``"0"`` for
        the largest group on, and ``"probability_0"``, ... of the groups.

        Raises
        ------
        TypeError
            If `adata` is not an AnnData.
        ValueError
            If `n_groups` is not an integer of at least 1 and at most the number of cells.
        RuntimeError
            If the model is not trained.
        """
        cells = self.adata if adata is None else adata
        check_adata(cells)
        times, names_of = self.module.times.cpu().numpy(), cells.obs_names
        if self._subject_key is not None:
            times = np.linspace(times[0], times[-1], _GRID)
            names_of = pd.Index(cells.obs[self._subject_key].astype(str).unique())
        paths = self.get_trajectories(adata, times=times)
        if not isinstance(n_groups, int | np.integer) or not 1 <= n_groups <= len(paths):
            message = f"n_groups={n_groups!r} was given; an integer from 1 to {len(paths)} is needed."
            raise ValueError(message)
        flat = paths.reshape(len(paths), -1)
        size = min(_COMPONENTS, *flat.shape)
        points = later("sklearn.decomposition").PCA(size, random_state=0).fit_transform(flat)
        seed = int(generator(rng).integers(2**31))
        mixture = later("sklearn.mixture").GaussianMixture(n_groups, n_init=10, random_state=seed, reg_covar=1e-4)
        probability = mixture.fit(points).predict_proba(points)
        order = np.argsort(-np.bincount(probability.argmax(1), minlength=n_groups), kind="stable")
        probability = probability[:, order]
        names = [str(index) for index in range(n_groups)]
        table = pd.DataFrame(probability, index=names_of, columns=[f"probability_{name}" for name in names])
        table.insert(0, "group", pd.Categorical.from_codes(probability.argmax(1), names))
        return table
