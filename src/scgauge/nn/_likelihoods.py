from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import torch
from scvi.distributions import NegativeBinomial, Normal, Poisson, ZeroInflatedNegativeBinomial

from scgauge.nn._count_log_likelihood import count_log_likelihood
from scgauge.nn._dense_log_likelihood import dense_log_likelihood
from scgauge.nn._sparse_rows import SparseRows

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

    def log_likelihood(self, x: Tensor | SparseRows) -> Tensor:
        """Return the log-likelihood of each cell, ``(..., n_cells)``."""
        return self.log_prob(_dense(x)).sum(-1)


class NormalGenes(Normal):
    """Normal distribution of each gene, with the sum that training needs."""

    def log_likelihood(self, x: Tensor | SparseRows) -> Tensor:
        """Return the log-likelihood of each cell over what was measured of it (not NaN), ``(..., n_cells)``."""
        values = _dense(x)
        missing = values.isnan()
        # Filled before the density: the gradient of a NaN is one, even where it is not selected.
        return self.log_prob(values.masked_fill(missing, 0.0)).masked_fill(missing, 0.0).sum(-1)


class CountLikelihood:
    """Distribution of the counts of each cell and gene, kept as the decoder's outputs.

    Training needs one number for each cell, which `log_likelihood` computes at the non-zero counts. All else
    (``sample``, ``log_prob``, ``mu``, ``theta``, ``get_normalized``, ...) is that of scvi-tools' distribution of the
    same name, which is built when it is first asked for.

    Parameters
    ----------
    name
        ``"zinb"``, ``"nb"`` or ``"poisson"``.
    logits
        Log of the share of each gene, up to a constant of the cell if `normalise`, ``(..., n_cells, n_genes)``.
    log_exposure
        Log of what the shares are multiplied by, ``(..., n_cells, 1)``.
    log_dispersion
        Log of the inverse dispersion, ``(n_genes,)`` or ``(..., n_cells, n_genes)``.
    zi_logits
        Logits of structural zeros, ``(..., n_cells, n_genes)``.
    normalise
        Whether the shares of a cell are made to sum to 1.
    """

    def __init__(
        self,
        name: str,
        logits: Tensor,
        log_exposure: Tensor,
        *,
        log_dispersion: Any = None,
        zi_logits: Any = None,
        normalise: bool = True,
    ) -> None:
        self.name, self.logits, self.log_exposure = name, logits, log_exposure
        self.log_dispersion, self.zi_logits, self.normalise = log_dispersion, zi_logits, normalise

    def log_likelihood(self, x: Tensor | SparseRows) -> Tensor:
        """Return the log-likelihood of each cell, ``(..., n_cells)``, of counts ``(n_cells, n_genes)``."""
        # What is compiled keeps the shapes that it was compiled for.
        is_traced = isinstance(x, torch.Tensor) and torch.compiler.is_compiling()
        counts = SparseRows.from_dense(x) if isinstance(x, torch.Tensor) and not is_traced else x
        draws = self.logits.shape[:-2]
        if not draws:
            return self._of_draw(counts, ...)
        parts = [self._of_draw(counts, draw) for draw in product(*(range(size) for size in draws))]
        return torch.stack(parts).unflatten(0, draws)

    def _of_draw(self, counts: Tensor | SparseRows, draw: Any) -> Tensor:
        function: Any = dense_log_likelihood if isinstance(counts, torch.Tensor) else count_log_likelihood
        per_cell = self.log_dispersion is not None and self.log_dispersion.dim() == self.logits.dim()
        return function(
            counts,
            self.logits[draw],
            self.log_exposure[draw] if self.log_exposure.dim() == self.logits.dim() else self.log_exposure,
            log_dispersion=self.log_dispersion[draw] if per_cell else self.log_dispersion,
            zi_logits=None if self.zi_logits is None else self.zi_logits[draw],
            normalise=self.normalise,
        )

    @cached_property
    def distribution(self) -> Distribution:
        """The distribution of scvi-tools."""
        scale = self.logits.softmax(-1) if self.normalise else self.logits.exp()
        rate = self.log_exposure.exp() * scale
        if self.name == "poisson":
            return Poisson(rate=rate, scale=scale)
        theta = self.log_dispersion.exp()
        if self.name == "nb":
            return NegativeBinomial(mu=rate, theta=theta, scale=scale)
        return ZeroInflatedNegativeBinomial(mu=rate, theta=theta, zi_logits=self.zi_logits, scale=scale)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "distribution":
            raise AttributeError(name)
        return getattr(self.distribution, name)


def _dense(x: Tensor | SparseRows) -> Tensor:
    return x if isinstance(x, torch.Tensor) else x.to_dense()


def likelihood(
    name: str,
    *,
    scale: Tensor,
    log_exposure: Any = None,
    log_dispersion: Any = None,
    zi_logits: Any = None,
    normalise: bool = True,
) -> Any:
    """Build the distribution of the data given the decoder's outputs.

    Parameters
    ----------
    name
        One of ``"zinb"``, ``"nb"``, ``"poisson"``, ``"bernoulli"``, ``"normal"``.
    scale
        Decoder output before the library size is applied, ``(..., n_cells, n_genes)``: log shares of the library for
        counts, logits for ``"bernoulli"``, means for ``"normal"``.
    log_exposure
        Log of the library size or size factor, ``(..., n_cells, 1)``; read by count likelihoods alone.
    log_dispersion
        Log of the inverse dispersion of counts, or of the standard deviation of ``"normal"``; broadcastable to
        `scale`.
    zi_logits
        Logits of structural zeros.
    normalise
        Whether the shares of counts are made to sum to 1.

    Returns
    -------
    A distribution with scvi-tools' methods and ``log_likelihood(x)``, the sum over genes for each cell.
    """
    # A check of each number of a minibatch would wait for its device; what is wrong shows in the loss.
    if name == "bernoulli":
        return Bernoulli(logits=scale, validate_args=False)
    if name == "normal":
        return NormalGenes(scale, log_dispersion.exp(), normal_mu=scale, validate_args=False)
    return CountLikelihood(
        name, scale, log_exposure, log_dispersion=log_dispersion, zi_logits=zi_logits, normalise=normalise
    )
