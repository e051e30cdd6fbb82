"""The evidence lower bound as a smooth function of the data, between counts as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: Smallest probability or mean whose logarithm is taken.
_TINY = 1e-20


def log_likelihood(likelihood: str, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """Log-likelihood of each cell, ``(n_cells,)``, of data that need not be whole numbers.

    Factorials become gamma functions. What structural zeros add to the log-likelihood falls in a straight line from
    0 to 1 counts, so that it does not jump when a count leaves 0; at whole numbers nothing changes.

    Parameters
    ----------
    likelihood
        ``"zinb"``, ``"nb"``, ``"poisson"``, ``"bernoulli"`` or ``"normal"``.
    parameters
        Mean, dispersions and dropout as `likelihood_parameters` names them, ``(n_cells, n_genes)`` each.
    x
        Data, ``(n_cells, n_genes)``.
    """
    mean = parameters["mean"]
    if likelihood == "normal":
        return Normal(mean, parameters["dispersions"], validate_args=False).log_prob(x).sum(-1)
    if likelihood == "bernoulli":
        return (x * mean.clamp(min=_TINY).log() + (1 - x) * (1 - mean).clamp(min=_TINY).log()).sum(-1)
    log_mean = mean.clamp(min=_TINY).log()
    if likelihood == "poisson":
        return (x * log_mean - mean - torch.lgamma(x + 1)).sum(-1)
    theta = parameters["dispersions"]
    log_total = torch.log(theta + mean)
    values = theta * (theta.log() - log_total) + x * (log_mean - log_total)
    values = values + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
    if likelihood == "zinb":
        zero = parameters["dropout"].clamp(_TINY, 1 - 1e-7)
        odds = zero.log() - torch.log1p(-zero) - values
        values = values + torch.log1p(-zero) + (1 - x).clamp(min=0) * functional.softplus(odds)
    return values.sum(-1)


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """Divergence of Gaussians from the standard normal prior, ``(n_cells,)``."""
    return 0.5 * (mean.square() + variance - 1 - variance.log()).sum(-1)


def labelled_divergence(module: Any, mean: Tensor, variance: Tensor, z: Tensor, noise: Tensor) -> Tensor:
    """Log density ratio of draws under the posterior and the labelled prior of a SCANVAE, ``(n_cells,)``.

    Labels are summed over with the classifier's probabilities, as in its loss.

    Parameters
    ----------
    module
        The SCANVAE.
    mean, variance
        Posterior, ``(n_cells, n_latent)`` each.
    z
        Draws from it, ``(n_cells, n_latent)``.
    noise
        Standard normal numbers for the second latent variable, ``(n_latent,)``.
    """
    ratio = Normal(mean, variance.sqrt(), validate_args=False).log_prob(z).sum(-1)
    probabilities = module.classifier(z)
    if module.classifier.logits:
        probabilities = probabilities.softmax(-1)
    for label in range(module.n_labels):
        code = torch.full((len(z), 1), label, device=z.device)
        # The encoder also draws; its draw is not used, and must not move the global state.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            second, _ = module.encoder_z2_z1(z, code)
        prior_mean, prior_variance = module.decoder_z1_z2(second.loc + second.scale * noise, code)
        fit = Normal(prior_mean, prior_variance.sqrt(), validate_args=False).log_prob(z).sum(-1)
        ratio = ratio + probabilities[:, label] * (divergence(second.loc, second.variance) - fit)
    prior = Categorical(probs=module.y_prior.expand_as(probabilities))
    return ratio + kl_divergence(Categorical(probs=probabilities), prior)
