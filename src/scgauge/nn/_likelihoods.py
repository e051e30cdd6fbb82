from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from scvi.distributions import NegativeBinomial, Normal, Poisson, ZeroInflatedNegativeBinomial

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

GeneLikelihood = Literal["zinb", "nb", "poisson", "bernoulli", "normal"]


@dataclass(frozen=True)
class LikelihoodSpec:
    """What a likelihood of the genes reads and what it has parameters for.

    Attributes
    ----------
    counts
        Whether the data are counts: the encoder reads log1p of them and the library size scales the mean.
    dispersion
        Whether it has a dispersion (the standard deviation of ``"normal"``).
    zero_inflation
        Whether it has logits of structural zeros.
    """

    counts: bool
    dispersion: bool
    zero_inflation: bool = False


LIKELIHOODS: dict[str, LikelihoodSpec] = {
    "zinb": LikelihoodSpec(counts=True, dispersion=True, zero_inflation=True),
    "nb": LikelihoodSpec(counts=True, dispersion=True),
    "poisson": LikelihoodSpec(counts=True, dispersion=False),
    "bernoulli": LikelihoodSpec(counts=False, dispersion=False),
    "normal": LikelihoodSpec(counts=False, dispersion=True),
}


class Bernoulli(torch.distributions.Bernoulli):
    """Bernoulli distribution with the reading interface of scvi-tools' count distributions."""

    def get_normalized(self, key: str) -> Tensor:
        """Return the probability of a one, which is both the ``"mu"`` and the ``"scale"`` of binary data.

        Raises
        ------
        ValueError
            If `key` is another word.
        """
        if key not in {"mu", "scale"}:
            message = f"Normalized key {key!r} is not known; use 'mu' or 'scale'."
            raise ValueError(message)
        return self.probs


def likelihood(
    name: str,
    *,
    scale: Tensor,
    rate: Tensor,
    dispersion: Tensor | None = None,
    zi_logits: Tensor | None = None,
) -> Distribution:
    """Build the distribution of the data given the decoder's outputs.

    Parameters
    ----------
    name
        One of ``"zinb"``, ``"nb"``, ``"poisson"``, ``"bernoulli"``, ``"normal"``.
    scale
        Decoder output before the library size is applied, ``(..., n_cells, n_genes)``: shares of the library for
        counts, logits for ``"bernoulli"``, means for ``"normal"``.
    rate
        Mean of the counts, ``(..., n_cells, n_genes)``; not read by ``"bernoulli"`` and ``"normal"``.
    dispersion
        Inverse dispersion of the counts, or standard deviation of ``"normal"``; broadcastable to `scale`.
    zi_logits
        Logits of structural zeros.
    """
    if name == "zinb":
        return ZeroInflatedNegativeBinomial(mu=rate, theta=dispersion, zi_logits=zi_logits, scale=scale)
    if name == "nb":
        return NegativeBinomial(mu=rate, theta=dispersion, scale=scale)
    if name == "poisson":
        return Poisson(rate=rate, scale=scale)
    if name == "bernoulli":
        return Bernoulli(logits=scale)
    return Normal(scale, dispersion, normal_mu=scale)
