"""Probability models in torch: inference, generative process, loss."""

from ._autoencoder import AutoencoderModule, Noise, SparsityTarget
from ._bayesian_ldvae import BayesianLDVAE, Covariance
from ._boltzmann import BoltzmannModule
from ._countvae import CountVAE, Dispersion, NormWhere
from ._ldvae import LDVAE
from ._longitudinal_vae import LongitudinalVAE
from ._odevae import ODEVAE

__all__ = [
    "LDVAE",
    "ODEVAE",
    "AutoencoderModule",
    "BayesianLDVAE",
    "BoltzmannModule",
    "CountVAE",
    "Covariance",
    "Dispersion",
    "LongitudinalVAE",
    "Noise",
    "NormWhere",
    "SparsityTarget",
]
