from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import nn
from torch.nn.functional import softplus

from scgauge._core.compat import MODULE_KEYS
from scgauge.nn import LIKELIHOODS, SparseRows, likelihood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Mean-field steps at most; it converges in far fewer.
_MOST_STEPS = 200


class BoltzmannModule(BaseModuleClass):
    r"""Deep Boltzmann machine with two hidden layers; behind :class:`~scgauge.model.DeepBoltzmannMachine`.

    All units are 0 or 1, and the probability of a state is proportional to :math:`e^{-E}`,

    .. math::

        E(v, h^1, h^2) = -v^\top W_1 h^1 - h^{1\top} W_2 h^2 - b_v^\top v - b_1^\top h^1 - b_2^\top h^2,

    so that, with :math:`\sigma` the logistic function,

    .. math::

        p(h^1 = 1 | v, h^2) = \sigma(W_1^\top v + W_2 h^2 + b_1), \quad
        p(h^2 = 1 | h^1) = \sigma(W_2^\top h^1 + b_2), \quad
        p(v = 1 | h^1) = \sigma(W_1 h^1 + b_v).

    Parameters
    ----------
    n_input
        Number of genes.
    n_hidden
        Units of the two hidden layers.
    n_particles
        Number of Markov chains that are kept from step to step of the training.
    """

    #: What adapters and plans may ask.
    gene_likelihood = "bernoulli"
    spec = LIKELIHOODS["bernoulli"]
    needs_library_prior = False
    use_observed_lib_size = True
    has_free_constant = False

    def __init__(self, n_input: int, *, n_hidden: Sequence[int] = (30, 10), n_particles: int = 100) -> None:
        super().__init__()
        first, second = n_hidden
        self.n_input, self.n_latent = n_input, first
        self.decoder = None
        self.weight1 = nn.Parameter(0.01 * torch.randn(n_input, first))
        self.weight2 = nn.Parameter(0.01 * torch.randn(first, second))
        self.bias_v = nn.Parameter(torch.zeros(n_input))
        self.bias1 = nn.Parameter(torch.zeros(first))
        self.bias2 = nn.Parameter(torch.zeros(second))
        #: Genes that are on at random, from which the annealing starts.
        self.register_buffer("base_bias", torch.zeros(n_input))
        self.register_buffer("particles_v", torch.zeros(n_particles, n_input))
        self.register_buffer("particles2", torch.zeros(n_particles, second))

    @torch.no_grad()
    def start_from_mean(self, mean: Tensor) -> None:
        """Start from genes that are on independently with their mean, ``(n_genes,)`` between 0 and 1."""
        for part in (self.bias_v, self.base_bias):
            part.copy_(mean.logit())
        self.particles_v.copy_(torch.bernoulli(mean.float().expand_as(self.particles_v)))
        self.particles2.copy_(torch.bernoulli(torch.full_like(self.particles2, 0.5)))

    def probability1(self, v: Tensor, h2: Tensor) -> Tensor:
        """Probability of the units of the first hidden layer, ``(n, n_hidden1)``."""
        return torch.sigmoid(v @ self.weight1 + h2 @ self.weight2.t() + self.bias1)

    def probability2(self, h1: Tensor) -> Tensor:
        """Probability of the units of the second hidden layer, ``(n, n_hidden2)``."""
        return torch.sigmoid(h1 @ self.weight2 + self.bias2)

    def logits_v(self, h1: Tensor) -> Tensor:
        """Logits of the genes, ``(n, n_genes)``."""
        return h1 @ self.weight1.t() + self.bias_v

    @torch.no_grad()
    def gibbs(self, v: Tensor, h2: Tensor, n_steps: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Advance Markov chains: the first hidden layer given the rest, then genes and second layer given the first."""
        h1 = v.new_zeros((len(v), self.n_latent))
        for _ in range(n_steps):
            h1 = torch.bernoulli(self.probability1(v, h2))
            v, h2 = torch.bernoulli(torch.sigmoid(self.logits_v(h1))), torch.bernoulli(self.probability2(h1))
        return v, h1, h2

    @torch.no_grad()
    def mean_field(self, v: Tensor, *, tolerance: float = 1e-3) -> tuple[Tensor, Tensor]:
        """Mean-field posterior of both hidden layers given genes, from a bottom-up pass with doubled weights."""
        mu1 = torch.sigmoid(2 * (v @ self.weight1) + self.bias1)
        mu2 = self.probability2(mu1)
        for _ in range(_MOST_STEPS):
            new1 = self.probability1(v, mu2)
            new2 = self.probability2(new1)
            change = torch.maximum((new1 - mu1).abs().amax(), (new2 - mu2).abs().amax())
            mu1, mu2 = new1, new2
            if change < tolerance:
                break
        return mu1, mu2

    @torch.no_grad()
    def bound(self, v: Tensor) -> Tensor:
        r"""Lower bound of :math:`\log p(v) + \log Z` of each cell, ``(n_cells,)``: :math:`E_q[-E] + H(q)`."""
        mu1, mu2 = self.mean_field(v, tolerance=1e-6)
        expected = ((v @ self.weight1) * mu1).sum(1) + ((mu1 @ self.weight2) * mu2).sum(1)
        expected = expected + v @ self.bias_v + mu1 @ self.bias1 + mu2 @ self.bias2
        entropy = sum(-(torch.xlogy(mu, mu) + torch.xlogy(1 - mu, 1 - mu)).sum(1) for mu in (mu1, mu2))
        return expected + entropy

    def _annealed(self, h1: Tensor, beta: float) -> Tensor:
        """Log of the unnormalised probability of the first hidden layer, genes and second layer summed out."""
        genes = softplus((1 - beta) * self.base_bias + beta * self.logits_v(h1)).sum(1)
        return beta * (h1 @ self.bias1) + genes + softplus(beta * (h1 @ self.weight2 + self.bias2)).sum(1)

    @torch.no_grad()
    def log_partition_weights(self, *, n_chains: int, n_temperatures: int) -> Tensor:
        r"""Log weights of annealed importance sampling, ``(n_chains,)``; their mean weight estimates :math:`Z`.

        Chains go from independent genes (the base) to the machine in even steps of temperature.
        """
        layers = (self.n_latent, self.weight2.shape[1])
        log_base = softplus(self.base_bias.double()).sum() + sum(layers) * torch.log(torch.tensor(2.0).double())
        h1 = torch.bernoulli(torch.full((n_chains, layers[0]), 0.5, device=self.device))
        total = torch.zeros(n_chains, dtype=torch.float64, device=self.device)
        betas = torch.linspace(0, 1, n_temperatures + 1).tolist()
        for below, beta in pairwise(betas):
            total += (self._annealed(h1, beta) - self._annealed(h1, below)).double()
            v = torch.bernoulli(torch.sigmoid((1 - beta) * self.base_bias + beta * self.logits_v(h1)))
            h2 = torch.bernoulli(torch.sigmoid(beta * (h1 @ self.weight2 + self.bias2)))
            h1 = torch.bernoulli(torch.sigmoid(beta * (v @ self.weight1 + h2 @ self.weight2.t() + self.bias1)))
        return total + log_base

    def get_loadings(self) -> Any:
        """Return the weights between genes and first hidden layer, ``(n_genes, n_hidden1)``."""
        return self.weight1.detach().cpu().numpy()

    def _get_inference_input(self, tensors: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        return {MODULE_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY]}

    @auto_move_data
    def inference(self, x: Tensor | SparseRows, n_samples: int = 1) -> dict[str, Any]:
        """Return the mean-field posterior of the first hidden layer."""
        x = x.to(self.device)
        x = x.to_dense() if isinstance(x, SparseRows) else x
        mu1, mu2 = self.mean_field(x)
        return {MODULE_KEYS.Z_KEY: mu1, "second": mu2}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any]) -> dict[str, Tensor]:
        return {MODULE_KEYS.Z_KEY: inference_outputs[MODULE_KEYS.Z_KEY]}

    @auto_move_data
    def generative(self, z: Tensor) -> dict[str, Any]:
        """Return the distribution of the genes given the first hidden layer, ``(n_cells, n_hidden1)``."""
        return {MODULE_KEYS.PX_KEY: likelihood("bernoulli", scale=self.logits_v(z))}

    def loss(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any], generative_outputs: dict[str, Any]
    ) -> LossOutput:
        """Return the error of reconstruction, which is watched but not what training follows."""
        error = -generative_outputs[MODULE_KEYS.PX_KEY].log_likelihood(tensors[REGISTRY_KEYS.X_KEY])
        return LossOutput(loss=error.mean(), reconstruction_loss=error, n_obs_minibatch=len(error))
