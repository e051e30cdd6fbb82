"""Checks and explanations on AnnData and trained models."""

from ._latent_distances import latent_distances
from ._loadings import loadings
from ._match_factors import FactorMatching, match_factors
from ._sample import sample

__all__ = ["FactorMatching", "latent_distances", "loadings", "match_factors", "sample"]
