"""Checks and explanations on AnnData and trained models."""

from scgauge._core.arguments import check_arguments as _check_arguments

from ._annotate_by_pattern import annotate_by_pattern
from ._attribute import attribute
from ._attribution_by_group import attribution_by_group
from ._augmentation_gain import augmentation_gain
from ._compare_attributions import compare_attributions
from ._compare_embeddings import compare_embeddings
from ._compare_sources import compare_sources
from ._decode_barcodes import decode_barcodes
from ._distribution_shift import DistributionShift, distribution_shift
from ._dream import dream
from ._embed import embed
from ._embedding_distortion import embedding_distortion
from ._embedding_quality import embedding_quality
from ._embedding_stability import embedding_stability
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
from ._pattern_map import PatternMap, pattern_map
from ._pca_sgd import pca_sgd
from ._sample import sample
from ._signature_activity import signature_activity
from ._signatures import signatures
from ._single_gene_inference import single_gene_inference
from ._spurious_correlation import spurious_correlation
from ._synthetic_quality import synthetic_quality
from ._trajectory import trajectory
from ._transform_latent import transform_latent
from ._transformation_recovery import transformation_recovery
from ._two_sample_test import two_sample_test
from ._velocity import velocity

__all__ = [
    "DistributionShift",
    "FactorMatching",
    "PatternMap",
    "annotate_by_pattern",
    "attribute",
    "attribution_by_group",
    "augmentation_gain",
    "compare_attributions",
    "compare_embeddings",
    "compare_log_odds",
    "compare_sources",
    "decode_barcodes",
    "distribution_shift",
    "dream",
    "embed",
    "embedding_distortion",
    "embedding_quality",
    "embedding_stability",
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
    "pattern_map",
    "pca_sgd",
    "sample",
    "signature_activity",
    "signatures",
    "single_gene_inference",
    "spurious_correlation",
    "synthetic_quality",
    "trajectory",
    "transform_latent",
    "transformation_recovery",
    "two_sample_test",
    "velocity",
]

_check_arguments(__name__)
