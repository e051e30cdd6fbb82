from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse
from scvi import REGISTRY_KEYS

from scgauge._core.adapter import adapt
from scgauge._core.draws import LikelihoodSampler
from scgauge._core.keys import LIBRARY, SOURCE_CELL, X_ODEVAE
from scgauge._core.rng import RNG, generator
from scgauge.model._eigen import describe_local, describe_system
from scgauge.model._time_law import law_of, sources
from scgauge.module import BASELINE_KEY, TIME_KEY
from scgauge.nn import solve_path, step_error
from scgauge.nn.dynamics import LocalLinear, Neural, Potential, theta_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

Kind = Literal["latent", "rates", "counts"]
Start = Literal["previous", "first", "all"]

#: Difference between n and 2n steps, in spreads of the states, that is not trusted; cells decoded at once.
_TOLERANCE, _CELLS_AT_ONCE = 1e-2, 512


class DynamicsResults:
    """What a trained model with latent dynamics can be asked."""

    module: Any
    adata: Any
    adata_manager: Any
    registry_: dict[str, Any]
    is_trained: bool
    get_latent_representation: Callable[..., Any]
    get_anndata_manager: Callable[..., Any]
    _validate_anndata: Callable[..., AnnData]

    @property
    def training_times(self) -> np.ndarray:
        """Times of the snapshots that the model was set up with, in the unit of the user."""
        return self.module.times.cpu().numpy()

    def _scaled(self, times: Any) -> np.ndarray:
        return np.asarray(self.module.scale_time(np.asarray(times, dtype=float)))

    def _check_times(self, times: ArrayLike) -> np.ndarray:
        """Return times as an array; warn of those far outside of the training times."""
        wanted = np.atleast_1d(np.asarray(times))
        if wanted.dtype.kind not in "iuf" or wanted.ndim != 1 or not len(wanted) or not np.isfinite(wanted).all():
            message = f"times={times!r} was given; finite numbers in the unit of {self._time_key!r} are needed."
            raise ValueError(message)
        wanted, known = wanted.astype(float), self.training_times
        gap = np.diff(known).max()
        beyond = np.maximum(wanted - known[-1], known[0] - wanted).max()
        if beyond > gap * (1 + 1e-9):
            warnings.warn(
                f"A time lies {beyond:g} outside of the training times {known[0]:g} to {known[-1]:g}; the widest gap "
                f"between them is {gap:g}. Nothing in the data says what happens there.",
                UserWarning,
                stacklevel=3,
            )
        return wanted

    @property
    def _time_key(self) -> str:
        return self.registry_["setup_args"]["time_key"]

    def _cells(self, adata: AnnData | None, indices: Any) -> tuple[AnnData, np.ndarray]:
        if not self.is_trained:
            message = "The ODEVI model is not trained. Run: model.train()"
            raise RuntimeError(message)
        adata = self._validate_anndata(adata)
        return adata, np.arange(adata.n_obs) if indices is None else np.arange(adata.n_obs)[np.asarray(indices)]

    def _times(self, adata: AnnData) -> np.ndarray:
        manager = self.get_anndata_manager(adata, required=True)
        return np.asarray(manager.get_from_registry(TIME_KEY), dtype=float).ravel()

    def _registered(self, adata: AnnData, key: str) -> Any:
        manager = self.get_anndata_manager(adata, required=True)
        return np.asarray(manager.get_from_registry(key)) if key in manager.data_registry else None

    def _baseline(self, adata: AnnData, rows: np.ndarray) -> torch.Tensor | None:
        if not self.module.n_baseline:
            return None
        return self._tensor(self._registered(adata, BASELINE_KEY)[rows])

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.module.device)

    def _posterior(self, adata: AnnData, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The encoder also draws from the posterior, which nobody reads here: leave torch's generator as it was.
        with torch.random.fork_rng(devices=[]):
            return self.get_latent_representation(adata, indices=rows, return_dist=True)

    def _latent(self, adata: AnnData, rows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        mean, variance = self._posterior(adata, rows)
        return mean if rng is None else mean + np.sqrt(variance) * rng.standard_normal(mean.shape)

    @torch.inference_mode()
    def _move(self, z: np.ndarray, start: float, times: Sequence[float], theta: torch.Tensor) -> np.ndarray:
        """Move latent points from one scaled time to others, ``(n, n_times, n_latent)``; check the step size."""
        self.module.eval()
        states = self._tensor(z)
        if not hasattr(self.module.field, "system"):
            farthest = max(times, key=lambda time: abs(time - start))
            error = step_error(self.module.field, states[:64], start, farthest, theta[:64])
            if error > _TOLERANCE:
                warnings.warn(
                    f"Halving the steps of the solver changes a state by {error:.2g} of their spread: the field is too "
                    "steep. Train longer or with a smaller flow_lr.",
                    UserWarning,
                    stacklevel=4,
                )
        return solve_path(self.module.field, states, start, list(times), theta).double().cpu().numpy()

    def get_trajectories(
        self,
        adata: AnnData | None = None,
        *,
        times: ArrayLike,
        indices: ArrayLike | None = None,
        n_samples: int | None = None,
        rng: RNG = None,
    ) -> np.ndarray:
        """Follow cells from their own times along the dynamics.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        times
            Times to pass through, in the unit of the user; before a cell's own time it is followed backward.
        indices
            Cells to follow, all if ``None``.
        n_samples
            Number of draws from the posterior of each cell's start; ``None`` starts from its mean.
        rng
            Seed or Generator of the draws.

        Returns
        -------
        Latent points, ``(n_cells, n_times, n_latent)``, with ``n_samples`` in front if it is given.

        Raises
        ------
        ValueError
            If times are not finite numbers.
        RuntimeError
            If the model is not trained.
        """
        wanted = self._check_times(times)
        adata, rows = self._cells(adata, indices)
        own = self._times(adata)[rows]
        mean, variance = self._posterior(adata, rows)
        n_draws = n_samples or 1
        noise = 0.0 if n_samples is None else generator(rng).standard_normal((n_draws, *mean.shape))
        z = np.broadcast_to(mean + np.sqrt(variance) * noise, (n_draws, *mean.shape))
        theta = self.module.theta(len(rows), self._baseline(adata, rows)).detach()
        paths = np.empty((n_draws, len(rows), len(wanted), mean.shape[1]))
        goals = self._scaled(wanted).tolist()
        for time in np.unique(own):
            here = np.flatnonzero(own == time)
            starts = z[:, here].reshape(-1, mean.shape[1])
            moved = self._move(starts, float(self._scaled(time)), goals, theta[here].repeat(n_draws, 1))
            paths[:, here] = moved.reshape(n_draws, len(here), len(wanted), -1)
        return paths[0] if n_samples is None else paths

    def predict_state(
        self,
        adata: AnnData | None = None,
        *,
        times: ArrayLike,
        n_cells: int | None = None,
        kind: Kind = "counts",
        start: Start = "previous",
        rng: RNG = None,
    ) -> AnnData:
        """Predict cells at any times, between the snapshots or beyond them.

        Cells of an earlier snapshot, drawn from the posterior of their latent points, are moved to each time and
        decoded. A predicted cell keeps the covariates of its source. Its library size has the rank, among the
        predicted cells, that its source has in its snapshot; the law of library sizes at a time between two snapshots
        lies between theirs (quantile by quantile on the log scale), beyond them it is that of the nearest one.

        Parameters
        ----------
        adata
            Cells to start from, those of the model if ``None``.
        times
            Times to predict, in the unit of the user.
        n_cells
            Cells to predict at each time; as many as there are to start from if ``None``.
        kind
            ``"counts"`` draws from the likelihood; ``"rates"`` gives its mean; ``"latent"`` the latent points.
        start
            ``"previous"``: cells of the last time at or before the predicted one (of the first time, for one before
            it); ``"first"``: cells of the first time; ``"all"``: cells of every time, those of later times backward.
        rng
            Seed or Generator.

        Returns
        -------
        Cells in the order of `times`, with

        ``X``
            Counts, expected counts or latent points; genes are those of the model.
        ``obs``
            ``"time"``; ``"source_cell"`` and ``"source_time"``; ``"library_size"``; batch and covariates.
        ``obsm['X_odevae']``
            Latent points, ``(n_obs, n_latent)``.

        Raises
        ------
        ValueError
            If an argument is out of range.
        RuntimeError
            If the model is not trained.
        """
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
        own = self._times(adata)
        draw_rng, latent_rng, data_rng = generator(rng).spawn(3)
        latent = self._latent(adata, np.arange(adata.n_obs), latent_rng)
        context = adapt(self).context if adata is self.adata else None
        law = law_of(self, adata, own, context)
        rows, states = [], []
        for time in wanted:
            pool = sources(own, time, start)
            size = len(pool) if n_cells is None else n_cells
            if n_cells is not None:
                pool = draw_rng.choice(pool, size, replace=size > len(pool))
            moved = np.empty((size, latent.shape[1]))
            theta = self.module.theta(size, self._baseline(adata, pool)).detach()
            for begin in np.unique(own[pool]):
                here = np.flatnonzero(own[pool] == begin)
                goal = [float(self._scaled(time))]
                moved[here] = self._move(latent[pool[here]], float(self._scaled(begin)), goal, theta[here])[:, 0]
            rows.append(pool)
            states.append(moved)
        pool, z = np.concatenate(rows), np.concatenate(states)
        at = np.repeat(wanted, [len(part) for part in rows])
        exposure = law.at(own[pool], law.exposure[pool], at)
        return self._assemble(adata, pool, z, at, exposure, law, kind=kind, rng=data_rng)

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
        kept = [arguments.get("batch_key"), arguments.get("labels_key")]
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

    @torch.no_grad()
    def get_velocity(
        self,
        adata: AnnData | None = None,
        *,
        space: Literal["latent", "gene"] = "latent",
        indices: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the velocity of each cell at its own time, per unit of the user's time.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        space
            ``"latent"``: velocity of the latent mean. ``"gene"``: the change of the logarithm of the decoded share of
            each gene (of the decoded mean of other data), by the Jacobian-vector product of the decoder.
        indices
            Cells to use, all if ``None``.

        Returns
        -------
        Velocities, ``(n_cells, n_latent)`` or ``(n_cells, n_genes)``.

        Raises
        ------
        ValueError
            If `space` is unknown.
        RuntimeError
            If the model is not trained.
        """
        if space not in {"latent", "gene"}:
            message = f"space={space!r} was given; choose 'latent' or 'gene'."
            raise ValueError(message)
        adata, rows = self._cells(adata, indices)
        self.module.eval()
        z = self._tensor(self._latent(adata, rows, None))
        own = self._tensor(self._scaled(self._times(adata)[rows]))
        velocity = self.module.velocity(own, z, self._baseline(adata, rows)) / self.module.span
        if space == "latent":
            return velocity.double().cpu().numpy()
        batch = torch.as_tensor(self._registered(adata, REGISTRY_KEYS.BATCH_KEY)[rows], device=z.device).reshape(-1, 1)
        keys = (("cat_covs", REGISTRY_KEYS.CAT_COVS_KEY), ("cont_covs", REGISTRY_KEYS.CONT_COVS_KEY))
        read = {name: self._registered(adata, key) for name, key in keys}
        covariates = {k: torch.as_tensor(v[rows], device=z.device) for k, v in read.items() if v is not None}
        if "cont_covs" in covariates:
            covariates["cont_covs"] = covariates["cont_covs"].to(z)
        blocks = []
        for begin in range(0, len(z), _CELLS_AT_ONCE):
            part = slice(begin, begin + _CELLS_AT_ONCE)
            there = {name: values[part] for name, values in covariates.items()}

            def decode(
                points: torch.Tensor, codes: torch.Tensor = batch[part], there: dict[str, torch.Tensor] = there
            ) -> torch.Tensor:
                return self.module.log_share(points, codes, **there)

            _, change = torch.autograd.functional.jvp(decode, z[part], velocity[part])
            blocks.append(change.detach().cpu().numpy())
        return np.concatenate(blocks)

    @torch.no_grad()
    def get_ode_parameters(self) -> pd.DataFrame:
        """Return what the dynamics are, in the unit of the user's time.

        Linear and affine fields have one row: the entries of the matrix (``a11``, ...) and of the offset (``c1``, ...),
        the eigenvalues, their half-lives (doubling times where growing, negative) and the fixed point if there is one.
        Fields of other kinds with parameters have these. A learned field has one row for each training time: the
        eigenvalues of its Jacobian and its speed at the mean of the cells of that time.

        Returns
        -------
        Table with the column ``time`` (missing for fields that do not change) and one column for each quantity.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        """
        adata, rows = self._cells(None, None)
        module = self.module.eval()
        theta = module.theta(1, None)
        if hasattr(module.field, "system"):
            matrix, offset = (part[0].double().cpu().numpy() / module.span for part in module.field.system(theta))
            return describe_system(matrix, offset)
        names = theta_names(module.field)
        if names and not isinstance(module.field, Neural | Potential | LocalLinear):
            return pd.DataFrame([theta[0].double().cpu().numpy()], columns=names)
        own = self._times(adata)
        z = self._latent(adata, rows, None)
        centres = np.stack([z[own == time].mean(0) for time in np.unique(own)])
        return describe_local(module, self._tensor(centres), np.unique(own))
