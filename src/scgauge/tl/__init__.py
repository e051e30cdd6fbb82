"""Checks and explanations on AnnData and trained models."""

from ._attribute import attribute
from ._latent_distances import latent_distances
from ._log_linear_patterns import log_linear_patterns
from ._sample import sample

__all__ = ["attribute", "latent_distances", "log_linear_patterns", "sample"]
