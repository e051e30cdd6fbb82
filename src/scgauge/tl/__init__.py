"""Checks and explanations on AnnData and trained models."""

from ._attribute import attribute
from ._compare_sources import compare_sources
from ._embedding_quality import embedding_quality
from ._held_out_time import held_out_time
from ._latent_distances import latent_distances
from ._learning_curve import learning_curve
from ._loadings import loadings
from ._log_linear_patterns import log_linear_patterns
from ._log_odds_ratio import compare_log_odds, log_odds_ratio
from ._match_factors import FactorMatching, match_factors
from ._memorization import memorization
from ._pca_sgd import pca_sgd
from ._sample import sample
from ._signature_activity import signature_activity
from ._signatures import signatures
from ._synthetic_quality import synthetic_quality
from ._trajectory import trajectory
from ._two_sample_test import two_sample_test
from ._velocity import velocity

__all__ = [
    "FactorMatching",
    "attribute",
    "compare_log_odds",
    "compare_sources",
    "embedding_quality",
    "held_out_time",
    "latent_distances",
    "learning_curve",
    "loadings",
    "log_linear_patterns",
    "log_odds_ratio",
    "match_factors",
    "memorization",
    "pca_sgd",
    "sample",
    "signature_activity",
    "signatures",
    "synthetic_quality",
    "trajectory",
    "two_sample_test",
    "velocity",
]
