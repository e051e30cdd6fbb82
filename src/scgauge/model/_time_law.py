"""Library sizes between snapshots."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax
from scvi import REGISTRY_KEYS

from scgauge._core.matrix import row_sums
from scgauge._core.model_protocol import CellContext
from scgauge._core.sampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


@dataclass(frozen=True)
class LibraryLaw:
    """Law of library sizes (or size factors) over time, and what else the decoder reads of a source cell.

    Attributes
    ----------
    time
        Times of the cells, ``(n,)``.
    exposure
        Their library sizes, ``(n,)``.
    contexts
        Returns the context of source cells.
    """

    time: np.ndarray
    exposure: np.ndarray
    contexts: Callable[[np.ndarray], CellContext]

    def context(self, rows: np.ndarray, exposure: np.ndarray) -> CellContext:
        """Return the context of source cells with other library sizes."""
        found = self.contexts(rows)
        return CellContext(
            batch=found.batch,
            exposure=exposure,
            labels=found.labels,
            cat_covs=found.cat_covs,
            cont_covs=found.cont_covs,
        )

    def of(self, rows: np.ndarray) -> LibraryLaw:
        """Return the law of some cells alone."""
        return replace(self, time=self.time[rows], exposure=self.exposure[rows])

    def at(self, source_time: np.ndarray, source: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Library sizes at other times of cells that keep their rank, ``(n,)``.

        Parameters
        ----------
        source_time, source
            Time and library size of the source cells.
        time
            Times to go to.
        """
        known = np.unique(self.time)
        logs = {float(t): np.sort(np.log(self.exposure[self.time == t])) for t in known}
        result = np.empty(len(source))
        for begin in np.unique(source_time):
            here = source_time == begin
            values = logs[float(begin)]
            low = np.searchsorted(values, np.log(source[here]), side="left")
            high = np.searchsorted(values, np.log(source[here]), side="right")
            rank = np.clip((low + high) / 2 / len(values), 0, 1)
            for goal in np.unique(time[here]):
                mine = np.flatnonzero(here)[time[here] == goal]
                after = int(np.clip(np.searchsorted(known, goal), 1, len(known) - 1)) if len(known) > 1 else 0
                first, last = known[max(after - 1, 0)], known[after]
                weight = np.clip((goal - first) / (last - first), 0, 1) if last > first else 0.0
                level = rank[time[here] == goal]
                result[mine] = np.exp(
                    (1 - weight) * np.quantile(logs[float(first)], level)
                    + weight * np.quantile(logs[float(last)], level)
                )
        return result


def law_of(model: Any, adata: AnnData, time: np.ndarray, context: Callable | None) -> LibraryLaw:
    """Return the library law of registered cells.

    Parameters
    ----------
    model
        Trained model.
    adata
        Cells registered with it.
    time
        Their times.
    context
        Returns the context of cells of the model's own data; ``None`` for other data.
    """
    manager = model.get_anndata_manager(adata, required=True)

    def registered(key: str) -> Any:
        return np.asarray(manager.get_from_registry(key)) if key in manager.data_registry else None

    if not model.module.spec.counts:
        exposure = np.ones(adata.n_obs)
    elif model.module.use_size_factor:
        exposure = registered(REGISTRY_KEYS.SIZE_FACTOR_KEY).astype(float).ravel()
    else:
        exposure = row_sums(manager.get_from_registry(REGISTRY_KEYS.X_KEY))

    def read(rows: np.ndarray) -> CellContext:
        if context is not None:
            return context(rows)
        values = {
            name: registered(key)
            for name, key in (
                ("batch", REGISTRY_KEYS.BATCH_KEY),
                ("cat_covs", REGISTRY_KEYS.CAT_COVS_KEY),
                ("cont_covs", REGISTRY_KEYS.CONT_COVS_KEY),
            )
        }
        batch = values.pop("batch").ravel().astype(int)[rows]
        kept = {name: value[rows] for name, value in values.items() if value is not None}
        return CellContext(batch=batch, exposure=exposure[rows], labels=np.zeros(len(rows), int), **kept)

    return LibraryLaw(time=time, exposure=exposure, contexts=read)


def grown_sources(
    own: np.ndarray, rows: np.ndarray, growth: np.ndarray, time: float, n_cells: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw source cells in proportion to what they grow to until a time; each source time keeps its share.

    Parameters
    ----------
    own
        Times of all cells, ``(n,)``.
    rows
        Rows of the source cells.
    growth
        Growth rates of all cells per unit of the user's time, ``(n,)``.
    time
        Predicted time.
    n_cells
        Number of draws.
    rng
        Source of randomness.
    """
    weights = np.empty(len(rows))
    for begin in np.unique(own[rows]):
        here = own[rows] == begin
        weights[here] = here.sum() * softmax(growth[rows[here]] * (time - begin))
    return rows[resample(weights, n_cells, rng)]


def sources(own: np.ndarray, time: float, start: str) -> np.ndarray:
    """Return the rows of the cells that a prediction starts from."""
    if start == "all":
        return np.arange(len(own))
    known = np.unique(own)
    before = known[known <= time]
    begin = known[0] if start == "first" or not len(before) else before[-1]
    return np.flatnonzero(own == begin)
