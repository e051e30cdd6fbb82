"""Checks and explanations on AnnData and trained models."""

from ._attribute import attribute
from ._latent_distances import latent_distances
from ._sample import sample

__all__ = ["attribute", "latent_distances", "sample"]
