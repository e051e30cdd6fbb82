"""Checks and explanations on AnnData and trained models."""

from ._latent_distances import latent_distances
from ._log_odds_ratio import compare_log_odds, log_odds_ratio
from ._sample import sample
from ._two_sample_test import two_sample_test

__all__ = ["compare_log_odds", "latent_distances", "log_odds_ratio", "sample", "two_sample_test"]
