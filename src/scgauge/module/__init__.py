"""Probability models in torch: inference, generative process, loss."""

from ._bayesian_ldvae import BayesianLDVAE, Covariance
from ._countvae import CountVAE, Dispersion, NormWhere
from ._ldvae import LDVAE
from ._longitudinal_vae import LongitudinalVAE
from ._odevae import ODEVAE

__all__ = [
    "LDVAE",
    "ODEVAE",
    "BayesianLDVAE",
    "CountVAE",
    "Covariance",
    "Dispersion",
    "LongitudinalVAE",
    "NormWhere",
]
