"""Figures of what `tl` wrote."""

from scgauge._core.arguments import check_arguments as _check_arguments

from ._attribution import attribution
from ._attribution_by_group import attribution_by_group
from ._cell_quality import cell_quality
from ._compare_attributions import compare_attributions
from ._compare_embeddings import compare_embeddings
from ._correlation_agreement import correlation_agreement
from ._distortion import distortion
from ._distribution_shift import distribution_shift
from ._dream import dream
from ._embedding_overlay import embedding_overlay
from ._embedding_quality import embedding_quality
from ._factor_scatter import factor_scatter
from ._factor_stability import factor_stability
from ._generative_uses import augmentation_gain, imputation_score
from ._groups import groups
from ._held_out_time import held_out_time
from ._history import history
from ._individual_trajectories import individual_trajectories
from ._latent_arithmetic import latent_arithmetic
from ._latent_distances import latent_distances
from ._learning_curve import learning_curve
from ._loadings import loadings
from ._log_odds import log_odds
from ._marginals import marginals
from ._memorization import memorization
from ._pattern_map import pattern_map
from ._patterns import patterns
from ._rnx import rnx
from ._shepard import shepard
from ._signature_activity import signature_activity
from ._signatures import signatures
from ._single_gene_inference import single_gene_inference
from ._spurious_correlation import spurious_correlation
from ._synthetic_quality import synthetic_quality
from ._trajectory import trajectory
from ._transformation import transformation
from ._transformation_recovery import transformation_recovery
from ._two_sample import two_sample
from ._velocity_field import velocity_field

__all__ = [
    "attribution",
    "attribution_by_group",
    "augmentation_gain",
    "cell_quality",
    "compare_attributions",
    "compare_embeddings",
    "correlation_agreement",
    "distortion",
    "distribution_shift",
    "dream",
    "embedding_overlay",
    "embedding_quality",
    "factor_scatter",
    "factor_stability",
    "groups",
    "held_out_time",
    "history",
    "imputation_score",
    "individual_trajectories",
    "latent_arithmetic",
    "latent_distances",
    "learning_curve",
    "loadings",
    "log_odds",
    "marginals",
    "memorization",
    "pattern_map",
    "patterns",
    "rnx",
    "shepard",
    "signature_activity",
    "signatures",
    "single_gene_inference",
    "spurious_correlation",
    "synthetic_quality",
    "trajectory",
    "transformation",
    "transformation_recovery",
    "two_sample",
    "velocity_field",
]

_check_arguments(__name__)
