from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin

from scgauge._core.adapter import CELLS_AT_ONCE, VAEAdapter, register_adapter, shell
from scgauge._core.compat import MODULE_KEYS, silent_transfer
from scgauge.model._registered_cells import RegisteredCells
from scgauge.model._setup_without_covariates import SetupWithoutCovariates
from scgauge.model._start_from_mean import StartFromMean
from scgauge.module import BoltzmannModule
from scgauge.train import BoltzmannPlan, CellSplitter, cell_loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike

    from scgauge._core.model_protocol import CellContext


class DeepBoltzmannMachine(
    SetupWithoutCovariates, RegisteredCells, StartFromMean, UnsupervisedTrainingMixin, BaseModelClass
):
    r"""Deep Boltzmann machine for binary data, with two hidden layers of binary units.

    An undirected generative model :cite:p:`Salakhutdinov09`, here as the other candidate beside a variational
    autoencoder for genes that are on or off in few cells :cite:p:`Nussberger21`. Binarise counts with
    :func:`scgauge.pp.binarize`. New cells are drawn by Gibbs sampling with :func:`scgauge.tl.sample` and compared with
    real ones by :func:`scgauge.tl.synthetic_quality`, as for all models. The probabilities are written out in
    :class:`scgauge.module.BoltzmannModule`, the training in :class:`scgauge.train.BoltzmannPlan`.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    registry
        Registry of the data, to build the model without an AnnData.
    n_hidden
        Units of the two hidden layers.
    n_particles
        Number of Markov chains that go along with the training.
    n_gibbs_steps
        Steps of a Markov chain, from one of the chains of the training to a new cell.

    Raises
    ------
    ValueError
        If the data are not 0 or 1, or an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_binary_blocks(200, 20, rng=0)
    >>> scgauge.model.DeepBoltzmannMachine.setup_anndata(adata)
    >>> model = scgauge.model.DeepBoltzmannMachine(adata, n_hidden=(8, 4))
    >>> model.train(max_epochs=5, enable_progress_bar=False)
    >>> scgauge.tl.sample(model, 10, rng=0).shape
    (10, 20)
    """

    _module_cls = BoltzmannModule
    _training_plan_cls = BoltzmannPlan
    _data_splitter_cls = CellSplitter
    _data_loader_cls = staticmethod(cell_loader)
    _trains_alone = "DeepBoltzmannMachine moves its weights by Markov chains, of which each process would have its own."

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] = (30, 10),
        n_particles: int = 100,
        n_gibbs_steps: int = 100,
    ) -> None:
        super().__init__(adata, registry)
        widths = list(n_hidden) if np.iterable(n_hidden) else []
        if len(widths) != 2 or not all(isinstance(width, int) and width >= 1 for width in widths):
            message = f"n_hidden={n_hidden!r} was given; two integers of at least 1 are needed."
            raise ValueError(message)
        for name, value in (("n_particles", n_particles), ("n_gibbs_steps", n_gibbs_steps)):
            if not isinstance(value, int) or value < 1:
                message = f"{name}={value!r} was given; an integer of at least 1 is needed."
                raise ValueError(message)
        if adata is not None:
            self._check_data(adata, "bernoulli")
        self.module = self._module_cls(int(self.summary_stats.n_vars), n_hidden=widths, n_particles=n_particles)
        self._start_intercepts()
        self.n_gibbs_steps = n_gibbs_steps
        self._model_summary_string = f"DeepBoltzmannMachine with hidden layers of {widths[0]} and {widths[1]} units."
        self.init_params_ = self._get_init_params(locals())

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model: pretraining of each layer in the first two fifths of the epochs, then both together.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`: ``max_epochs``, ``accelerator``,
            ``devices``, ``train_size``, ``batch_size``, ``plan_kwargs``, ... and those of the trainer. ``plan_kwargs``
            takes the arguments of :class:`scgauge.train.BoltzmannPlan`. The error of reconstruction in ``history`` is
            no likelihood; see :meth:`get_log_likelihood`.

        Returns
        -------
        What the training runner of scvi-tools returns.
        """
        kwargs.setdefault("early_stopping_monitor", "reconstruction_loss_validation")
        self.log_partition_ = None
        return super().train(*args, **kwargs)

    @torch.inference_mode()
    def _blocks(self, adata: AnnData | None, indices: ArrayLike | None) -> Iterator[torch.Tensor]:
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        for tensors in self._make_data_loader(adata=adata, indices=indices, batch_size=CELLS_AT_ONCE):
            yield tensors[REGISTRY_KEYS.X_KEY].to(self.module.device)

    def get_latent_representation(
        self, adata: AnnData | None = None, indices: ArrayLike | None = None, *, layer: int = 1, **_: Any
    ) -> np.ndarray:
        """Return the mean-field probabilities of the hidden units of each cell.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        layer
            Hidden layer, 1 or 2.
        **_
            Not read; other models have more arguments.

        Returns
        -------
        Probabilities, ``(n_cells, n_units)``.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        if layer not in {1, 2}:
            message = f"layer={layer!r} was given; choose 1 or 2."
            raise ValueError(message)
        return np.concatenate(
            [self.module.mean_field(x)[layer - 1].cpu().numpy() for x in self._blocks(adata, indices)]
        )

    def get_log_partition(self, *, n_chains: int = 100, n_temperatures: int = 1000) -> pd.Series:
        r"""Estimate the log of the partition function by annealed importance sampling :cite:p:`Salakhutdinov08`.

        Parameters
        ----------
        n_chains
            Number of independent runs.
        n_temperatures
            Number of steps from independent genes to the model. Too few give an estimate that is too small, and an
            error that does not show it: double them and see whether the estimate stays.

        Returns
        -------
        ``log_z``, its standard error ``se`` (delta method), and ``n_effective``, the effective number of runs.

        Raises
        ------
        ValueError
            If there are fewer than two runs or no step.
        """
        self._check_if_trained(warn=False)
        if n_chains < 2 or n_temperatures < 1:
            message = f"n_chains={n_chains}, n_temperatures={n_temperatures} were given; at least 2 and 1 are needed."
            raise ValueError(message)
        log_weights = self.module.log_partition_weights(n_chains=n_chains, n_temperatures=n_temperatures)
        log_weights = log_weights.cpu().numpy()
        weights = np.exp(log_weights - log_weights.max())
        values = {
            "log_z": log_weights.max() + np.log(weights.mean()),
            "se": weights.std(ddof=1) / weights.mean() / np.sqrt(n_chains),
            "n_effective": weights.sum() ** 2 / np.square(weights).sum(),
        }
        self.log_partition_ = float(values["log_z"])
        return pd.Series(values, name="log_partition")

    def get_log_likelihood(
        self, adata: AnnData | None = None, *, indices: ArrayLike | None = None, per_cell: bool = False
    ) -> Any:
        r"""Return a lower bound of :math:`\log p(v)`: the mean-field bound less the estimated log partition function.

        The last result of :meth:`get_log_partition` is used, or a default one is computed.

        Parameters
        ----------
        adata
            Cells, those of the model if ``None``.
        indices
            Cells of `adata` to use, all if ``None``.
        per_cell
            Whether to return the bound of each cell.

        Returns
        -------
        Mean over cells, or an array ``(n_cells,)``, in nats.
        """
        bounds = np.concatenate([self.module.bound(x).double().cpu().numpy() for x in self._blocks(adata, indices)])
        if self.log_partition_ is None:
            self.get_log_partition()
        values = bounds - self.log_partition_
        return values if per_cell else float(values.mean())

    log_partition_: float | None = None


class BoltzmannAdapter(VAEAdapter):
    """Adapter of :class:`DeepBoltzmannMachine`: the first hidden layer is the latent space, the prior a Gibbs chain."""

    @property
    def latents(self) -> list[str]:
        """Names of the units of the first hidden layer."""
        return [f"H_{index}" for index in range(self.module.n_latent)]

    @property
    def capabilities(self) -> frozenset[str]:
        """Only "loadings": logits of the genes are linear in the first hidden layer."""
        return frozenset({"loadings"})

    def encoder_network(self) -> Any:
        """Raise TypeError: the posterior has no closed form to follow.

        Raises
        ------
        TypeError
            Always.
        """
        message = "DeepBoltzmannMachine has no encoder network; its posterior is found by iteration. Use its loadings."
        raise TypeError(message)

    def encode(self, cells: np.ndarray | None = None, adata: AnnData | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the hidden units under the mean-field posterior, ``(n_cells, n_hidden1)`` each."""
        with silent_transfer():
            mean = self.model.get_latent_representation(None if adata is None else shell(adata), indices=cells)
        mean = mean.astype(np.float64)
        return mean, mean * (1 - mean)

    def draw_latent(self, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw hidden units, zeros and ones."""
        return (rng.random(mean.shape) < mean).astype(np.float64)

    def prior(self, context: CellContext, rng: np.random.Generator) -> np.ndarray:
        """Draw first hidden layers by Gibbs sampling, ``(n_cells, n_hidden1)``, each by a chain of its own."""
        names = ("weight1", "weight2", "bias_v", "bias1", "bias2", "particles_v", "particles2")
        w1, w2, b_v, b1, b2, start_v, start2 = (getattr(self.module, n).detach().double().cpu().numpy() for n in names)
        n_cells, parts = len(context.batch), []
        for first in range(0, n_cells, CELLS_AT_ONCE):
            chosen = rng.integers(len(start_v), size=min(CELLS_AT_ONCE, n_cells - first))
            v, h2 = start_v[chosen], start2[chosen]
            for step in range(self.model.n_gibbs_steps):
                h1 = self._flip(v @ w1 + h2 @ w2.T + b1, rng)
                if step < self.model.n_gibbs_steps - 1:
                    v, h2 = self._flip(h1 @ w1.T + b_v, rng), self._flip(h1 @ w2 + b2, rng)
            parts.append(h1)
        return np.concatenate(parts)

    @staticmethod
    def _flip(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(logits.shape) < expit(logits)).astype(np.float64)

    def _distribution(self, z: np.ndarray | torch.Tensor, context: CellContext) -> Any:
        return self.module.generative(self._tensor(z))[MODULE_KEYS.PX_KEY]


register_adapter(DeepBoltzmannMachine, BoltzmannAdapter)
