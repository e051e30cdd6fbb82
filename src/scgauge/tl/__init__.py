"""Checks and explanations on AnnData and trained models."""

from ._latent_distances import latent_distances
from ._sample import sample

__all__ = ["latent_distances", "sample"]
