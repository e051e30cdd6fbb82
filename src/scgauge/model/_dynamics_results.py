from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from scgauge._core.checks import check_indices
from scgauge._core.registry_keys import BASELINE_KEY, TIME_KEY
from scgauge._core.rng import RNG, generator, same_torch_state
from scgauge.nn import solve_path, step_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike

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
    _subject_key: Any
    _subject_column: Any
    _subject_paths: Callable[..., np.ndarray]
    _group_probability: Callable[..., np.ndarray]
    _group_rows: Callable[..., torch.Tensor]
    _draw_groups: Callable[..., np.ndarray]

    @property
    def training_times(self) -> np.ndarray:
        """Times of the snapshots that the model was set up with, in the unit of the user."""
        return self.module.times.cpu().numpy()

    def _scaled(self, times: Any) -> np.ndarray:
        return np.asarray(self.module.scale_time(np.asarray(times, dtype=float)))

    def _check_times(self, times: ArrayLike) -> np.ndarray:
        """Return times as an array; warn of those far outside of the training times."""
        try:
            wanted = np.atleast_1d(np.asarray(times))
        except ValueError:  # lists of different lengths
            wanted = np.atleast_1d(np.asarray(None))
        if wanted.dtype.kind not in "iuf" or wanted.ndim != 1 or not len(wanted) or not np.isfinite(wanted).all():
            message = f"times={times!r} was given; finite numbers in the unit of {self._time_key!r} are needed."
            raise ValueError(message)
        wanted, known = wanted.astype(float), self.training_times
        # Individuals are seen at many times; how long a way they show tells how far to trust one.
        gap = np.diff(known).max() if self._subject_column is None else (known[-1] - known[0]) / 4
        beyond = np.maximum(wanted - known[-1], known[0] - wanted).max()
        if beyond > gap * (1 + 1e-9):
            warnings.warn(
                f"A time lies {beyond:g} outside of the training times {known[0]:g} to {known[-1]:g}; "
                f"{'the widest gap between them' if self._subject_column is None else 'a quarter of their span'} is "
                f"{gap:g}. Nothing in the data says what happens there.",
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
        return adata, np.arange(adata.n_obs) if indices is None else check_indices(indices, adata.n_obs)

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

    def _posterior(
        self, adata: AnnData | None, rows: np.ndarray | None, **kwargs: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        # The encoder also draws from the posterior, which nobody reads here: leave torch's generator as it was.
        with same_torch_state():
            return self.get_latent_representation(adata, indices=rows, return_dist=True, **kwargs)

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

        With several groups (`n_groups`) a cell follows the dynamics of its most probable group; draws follow groups
        drawn by their probability. A model of individuals (`subject_key`) follows each individual from all its visits
        at once, combined by inverse variance.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        times
            Times to pass through, in the unit of the user; before a cell's own time it is followed backward.
        indices
            Cells to follow, all if ``None``; of individuals, any of their visits.
        n_samples
            Number of draws from the posterior of each cell's start; ``None`` starts from its mean.
        rng
            Seed or Generator of the draws.

        Returns
        -------
        Latent points, ``(n_cells, n_times, n_latent)``, with ``n_samples`` in front if it is given; of individuals
        ``(n_subjects, n_times, n_latent)``, in the order in which they appear.

        Raises
        ------
        ValueError
            If times are not finite numbers.
        RuntimeError
            If the model is not trained.
        """
        if self._subject_key is not None:
            return self._subject_paths(adata, times, indices, n_samples, rng)
        wanted = self._check_times(times)
        adata, rows = self._cells(adata, indices)
        own = self._times(adata)[rows]
        mean, variance = self._posterior(adata, rows)
        n_draws = n_samples or 1
        draws = generator(rng)
        noise = 0.0 if n_samples is None else draws.standard_normal((n_draws, *mean.shape))
        z = np.broadcast_to(mean + np.sqrt(variance) * noise, (n_draws, *mean.shape)).copy()
        if n_samples is None:
            group = self._group_probability(mean, own).argmax(1)
        else:
            group = self._draw_groups(z.reshape(-1, mean.shape[1]), np.tile(own, n_draws), draws)
        baseline = self._baseline(adata, rows)
        if baseline is not None:
            baseline = baseline.repeat(n_draws, 1)
        theta = self.module.theta(len(group), baseline, self._group_rows(group)).detach()
        theta = theta.unflatten(0, (n_draws, len(rows)))
        paths = np.empty((n_draws, len(rows), len(wanted), mean.shape[1]))
        goals = self._scaled(wanted).tolist()
        for time in np.unique(own):
            here = np.flatnonzero(own == time)
            starts = z[:, here].reshape(-1, mean.shape[1])
            moved = self._move(starts, float(self._scaled(time)), goals, theta[:, here].flatten(0, 1))
            paths[:, here] = moved.reshape(n_draws, len(here), len(wanted), -1)
        return paths[0] if n_samples is None else paths

    @torch.no_grad()
    def get_velocity(
        self,
        adata: AnnData | None = None,
        *,
        space: Literal["latent", "gene"] = "latent",
        indices: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the velocity of each cell at its own time, per unit of the user's time.

        With several groups (`n_groups`) it is the mean over them by their probability.

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
