"""Probability models in torch: inference, generative process, loss."""

from ._bayesian_ldvae import BayesianLDVAE, Covariance
from ._countvae import CountVAE, Dispersion, NormWhere
from ._ldvae import LDVAE

__all__ = ["LDVAE", "BayesianLDVAE", "CountVAE", "Covariance", "Dispersion", "NormWhere"]
