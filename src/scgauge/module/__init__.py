"""Probability models in torch: inference, generative process, loss."""

from ._countvae import CountVAE, Dispersion, NormWhere
from ._odevae import BASELINE_KEY, ODEVAE, TIME_KEY

__all__ = ["BASELINE_KEY", "ODEVAE", "TIME_KEY", "CountVAE", "Dispersion", "NormWhere"]
