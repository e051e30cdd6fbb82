"""Probability models in torch: inference, generative process, loss."""

from ._countvae import CountVAE, Dispersion, NormWhere
from ._ldvae import LDVAE

__all__ = ["LDVAE", "CountVAE", "Dispersion", "NormWhere"]
