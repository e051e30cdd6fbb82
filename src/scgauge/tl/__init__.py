"""Checks and explanations on AnnData and trained models."""

from ._attribute import attribute
from ._augmentation_gain import augmentation_gain
from ._compare_sources import compare_sources
from ._decode_barcodes import decode_barcodes
from ._distribution_shift import DistributionShift, distribution_shift
from ._embedding_quality import embedding_quality
from ._held_out_time import held_out_time
from ._imputation_score import imputation_score
from ._impute import impute
from ._latent_arithmetic import latent_arithmetic
from ._latent_distances import latent_distances
from ._learning_curve import learning_curve
from ._loadings import loadings
from ._log_linear_patterns import log_linear_patterns
from ._log_odds_ratio import compare_log_odds, log_odds_ratio
from ._match_factors import FactorMatching, match_factors
from ._memorization import memorization
from ._sample import sample
from ._single_gene_inference import single_gene_inference
from ._spurious_correlation import spurious_correlation
from ._synthetic_quality import synthetic_quality
from ._trajectory import trajectory
from ._two_sample_test import two_sample_test
from ._velocity import velocity

__all__ = [
    "DistributionShift",
    "FactorMatching",
    "attribute",
    "augmentation_gain",
    "compare_log_odds",
    "compare_sources",
    "decode_barcodes",
    "distribution_shift",
    "embedding_quality",
    "held_out_time",
    "imputation_score",
    "impute",
    "latent_arithmetic",
    "latent_distances",
    "learning_curve",
    "loadings",
    "log_linear_patterns",
    "log_odds_ratio",
    "match_factors",
    "memorization",
    "sample",
    "single_gene_inference",
    "spurious_correlation",
    "synthetic_quality",
    "trajectory",
    "two_sample_test",
    "velocity",
]
