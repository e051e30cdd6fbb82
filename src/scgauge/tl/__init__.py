"""Checks and explanations on AnnData and trained models."""

from ._latent_distances import latent_distances
from ._sample import sample
from ._two_sample_test import two_sample_test

__all__ = ["latent_distances", "sample", "two_sample_test"]
