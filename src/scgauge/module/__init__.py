"""Probability models in torch: inference, generative process, loss."""

from ._countvae import CountVAE

__all__ = ["CountVAE"]
