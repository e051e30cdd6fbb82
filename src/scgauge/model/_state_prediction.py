from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core.adapter import adapt
from scgauge._core.draws import LikelihoodSampler
from scgauge._core.keys import LIBRARY, ODEVAE_GROUP, SOURCE_CELL, X_ODEVAE
from scgauge._core.registry_keys import GROWTH_KEY
from scgauge._core.rng import RNG, generator
from scgauge.model._time_law import grown_sources, law_of, sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

Kind = Literal["latent", "rates", "counts"]
Start = Literal["previous", "first", "all"]

#: Cells decoded at once.
_CELLS_AT_ONCE = 512


class StatePrediction:
    """Cells and individuals at any time."""

    module: Any
    adata: Any
    registry_: dict[str, Any]
    _cells: Callable[..., Any]
    _times: Callable[..., np.ndarray]
    _registered: Callable[..., Any]
    _scaled: Callable[..., np.ndarray]
    _check_times: Callable[..., np.ndarray]
    _baseline: Callable[..., Any]
    _latent: Callable[..., np.ndarray]
    _move: Callable[..., np.ndarray]
    _follow: Callable[..., Any]
    _first_rows: Callable[..., np.ndarray]
    _source_rows: Callable[..., np.ndarray]
    _draw_groups: Callable[..., np.ndarray]
    _group_rows: Callable[..., Any]
    _time_key: Any
    _subject_key: Any
    _cohorts: Callable[..., list[np.ndarray]]

    def predict_state(
        self,
        adata: AnnData | None = None,
        *,
        times: ArrayLike,
        n_cells: int | None = None,
        kind: Kind = "counts",
        start: Start | None = None,
        rng: RNG = None,
    ) -> AnnData:
        """Predict cells at any times, between the snapshots or beyond them.

        Cells of an earlier snapshot, drawn from the posterior of their latent points, are moved to each time and
        decoded. A predicted cell keeps the covariates of its source. Its library size has the rank, among the
        predicted cells, that its source has in its snapshot; the law of library sizes at a time between two snapshots
        lies between theirs (quantile by quantile on the log scale), beyond them it is that of the nearest one.

        Where growth rates are registered (`growth_key`), source cells are drawn in proportion to what they grow to
        until the predicted time, so that the shares of cell types there are right; a cell that divides is the source of
        several predicted cells. Its rate is taken to hold all the way.

        With several groups (`n_groups`) the group of a cell is drawn by its probability and moves it.

        A model of cohorts (`subject_key`, several cells of a subject at a time) predicts each subject's cells from its
        own, subjects in the inner order; they need not be those of the training.

        A model of individuals (`subject_key`) predicts each of them at each time, from the visits that `start` names,
        combined by inverse variance; they need not be individuals of the training. Covariates and library size are
        those of the last visit at or before the time.

        Parameters
        ----------
        adata
            Cells to start from, those of the model if ``None``.
        times
            Times to predict, in the unit of the user.
        n_cells
            Cells to predict at each time, of cohorts of each subject; as many as there are to start from if ``None``.
            Not for individuals.
        kind
            ``"counts"`` draws from the likelihood; ``"rates"`` gives its mean; ``"latent"`` the latent points.
        start
            ``"previous"``: cells of the last time at or before the predicted one (of the first time, for one before
            it); ``"first"``: cells of the first time; ``"all"``: cells of every time, those of later times backward.
            ``None`` is ``"previous"`` for snapshots and ``"all"`` for individuals. With ``"previous"`` visits of an
            individual after the predicted time are not read.
        rng
            Seed or Generator.

        Returns
        -------
        Cells in the order of `times`, with

        ``X``
            Counts, expected counts or latent points; genes are those of the model.
        ``obs``
            ``"time"``; ``"source_cell"`` and ``"source_time"``; ``"library_size"``; batch and covariates; of a model
            with several groups ``"odevae_group"``.
        ``obsm['X_odevae']``
            Latent points, ``(n_obs, n_latent)``.
        ``obsm['X_odevae_sd']``
            Of individuals, the standard deviation of their state.

        Raises
        ------
        ValueError
            If an argument is out of range.
        RuntimeError
            If the model is not trained.
        """
        start = start or ("previous" if self._subject_key is None else "all")
        for name, value, allowed in (
            ("kind", kind, ("latent", "rates", "counts")),
            ("start", start, ("previous", "first", "all")),
        ):
            if value not in allowed:
                message = f"{name}={value!r} was given; choose from {list(allowed)}."
                raise ValueError(message)
        if n_cells is not None and (not isinstance(n_cells, int | np.integer) or n_cells < 1):
            message = f"n_cells={n_cells!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
        wanted = self._check_times(times)
        adata, _ = self._cells(adata, None)
        if self._subject_key is not None:
            if n_cells is not None:
                message = f"n_cells={n_cells} was given; a model of individuals predicts each of them once."
                raise ValueError(message)
            return self._predict_subjects(adata, wanted, kind=kind, start=start, rng=rng)
        return self._predict_snapshots(adata, wanted, n_cells=n_cells, kind=kind, start=start, rng=rng)

    def _predict_subjects(self, adata: AnnData, wanted: np.ndarray, *, kind: str, start: str, rng: RNG) -> AnnData:
        """Predict each individual at each time, times in the outer order."""
        latent_rng, data_rng = generator(rng).spawn(2)
        first = self._first_rows(adata, np.arange(adata.n_obs))
        mean, variance = self._follow(adata, first, wanted, start=start)
        pool = self._source_rows(adata, first, wanted).T.ravel()
        z, sd = (part.transpose(1, 0, 2).reshape(-1, mean.shape[2]) for part in (mean, np.sqrt(variance)))
        if kind == "counts":
            z = z + sd * latent_rng.standard_normal(z.shape)
        law = law_of(self, adata, self._times(adata), adapt(self).context if adata is self.adata else None)
        at = np.repeat(wanted, len(first))
        found = self._assemble(adata, pool, z, at, law.exposure[pool], law, kind=kind, rng=data_rng)
        found.obsm[f"{X_ODEVAE}_sd"] = sd
        return found

    def _predict_snapshots(
        self, adata: AnnData, wanted: np.ndarray, *, n_cells: int | None, kind: str, start: str, rng: RNG
    ) -> AnnData:
        """Predict a cloud of cells at each time, of each subject if there are cohorts."""
        own, growth = self._times(adata), self._registered(adata, GROWTH_KEY)
        draw_rng, latent_rng, data_rng, group_rng = generator(rng).spawn(4)
        latent = self._latent(adata, np.arange(adata.n_obs), latent_rng)
        context = adapt(self).context if adata is self.adata else None
        law = law_of(self, adata, own, context)
        rows, states, groups, exposures, at = [], [], [], [], []
        for time, cells in product(wanted, self._cohorts(adata)):
            pool = cells[sources(own[cells], time, start)]
            size = len(pool) if n_cells is None else n_cells
            if growth is not None:
                pool = grown_sources(own, pool, growth.ravel(), float(time), size, draw_rng)
            elif n_cells is not None:
                pool = draw_rng.choice(pool, size, replace=size > len(pool))
            moved = np.empty((size, latent.shape[1]))
            group = self._draw_groups(latent[pool], own[pool], group_rng)
            theta = self.module.theta(size, self._baseline(adata, pool), self._group_rows(group)).detach()
            for begin in np.unique(own[pool]):
                here = np.flatnonzero(own[pool] == begin)
                goal = [float(self._scaled(time))]
                moved[here] = self._move(latent[pool[here]], float(self._scaled(begin)), goal, theta[here])[:, 0]
            rows.append(pool)
            states.append(moved)
            groups.append(group)
            at.append(np.full(size, time))
            exposures.append(law.of(cells).at(own[pool], law.exposure[pool], at[-1]))
        pool, z, exposure = np.concatenate(rows), np.concatenate(states), np.concatenate(exposures)
        found = self._assemble(adata, pool, z, np.concatenate(at), exposure, law, kind=kind, rng=data_rng)
        if self.module.n_groups > 1:
            names = [str(index) for index in range(self.module.n_groups)]
            found.obs[ODEVAE_GROUP] = pd.Categorical.from_codes(np.concatenate(groups), names)
        return found

    def _assemble(
        self,
        adata: AnnData,
        pool: np.ndarray,
        z: np.ndarray,
        at: np.ndarray,
        exposure: np.ndarray,
        law: Any,
        *,
        kind: str,
        rng: np.random.Generator,
    ) -> AnnData:
        """Decode predicted latent points and note where they come from."""
        arguments = self.registry_["setup_args"]
        kept = [arguments.get("subject_key"), arguments.get("batch_key"), arguments.get("labels_key")]
        for several in ("categorical_covariate_keys", "baseline_keys", "continuous_covariate_keys"):
            kept += arguments.get(several) or []
        obs = pd.DataFrame(
            {key: adata.obs[key].to_numpy()[pool] for key in kept if key is not None and key in adata.obs}
        )
        obs[self._time_key] = at
        obs[SOURCE_CELL] = np.asarray(adata.obs_names)[pool]
        obs["source_time"] = self._times(adata)[pool]
        if self.module.spec.counts:
            obs[LIBRARY] = exposure
        obs.index = [f"predicted_{index}" for index in range(len(obs))]
        if kind == "latent":
            names = pd.DataFrame(index=[f"Z_{index}" for index in range(z.shape[1])])
            return AnnData(z.astype(np.float32), obs=obs, var=names, obsm={X_ODEVAE: z})
        reader, blocks = adapt(self), []
        sampler = LikelihoodSampler(self.module.gene_likelihood, rng)
        for begin in range(0, len(z), _CELLS_AT_ONCE):
            part = slice(begin, begin + _CELLS_AT_ONCE)
            parameters = reader.decode(z[part], law.context(pool[part], exposure[part]))
            values = parameters["mean"] if kind == "rates" else sampler.draw(parameters)
            blocks.append(
                sparse.csr_matrix(values.astype(np.float32))
                if kind == "counts" and self.module.spec.counts
                else values.astype(np.float32)
            )
        x = sparse.vstack(blocks, format="csr") if sparse.issparse(blocks[0]) else np.concatenate(blocks)
        return AnnData(x, obs=obs, var=pd.DataFrame(index=reader.genes), obsm={X_ODEVAE: z})
