"""Probability models in torch: inference, generative process, loss."""

from ._countvae import CountVAE, Dispersion, NormWhere

__all__ = ["CountVAE", "Dispersion", "NormWhere"]
