"""Probability models in torch: inference, generative process, loss."""

from ._autoencoder import AutoencoderModule, Noise, SparsityTarget
from ._bayesian_ldvae import BayesianLDVAE, Covariance
from ._boltzmann import BoltzmannModule
from ._countvae import CountVAE, Dispersion, NormWhere
from ._ldvae import LDVAE
from ._odevae import BASELINE_KEY, ODEVAE, TIME_KEY

__all__ = [
    "BASELINE_KEY",
    "LDVAE",
    "ODEVAE",
    "TIME_KEY",
    "AutoencoderModule",
    "BayesianLDVAE",
    "BoltzmannModule",
    "CountVAE",
    "Covariance",
    "Dispersion",
    "Noise",
    "NormWhere",
    "SparsityTarget",
]
