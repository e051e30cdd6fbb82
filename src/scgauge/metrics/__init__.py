"""The numbers behind the checks: arrays in, numbers out."""

from ._alignment import Procrustes, linear_cka, procrustes
from ._classifier import ClassifierTest, classifier_two_sample
from ._conditional_association import ConditionalAssociation, conditional_association
from ._density_coverage import DensityCoverage, NeighborMixing, density_coverage, neighbor_mixing
from ._dependence import MatrixAgreement, dependence, matrix_agreement
from ._embedding_distortion import EmbeddingDistortion, embedding_distortion
from ._embedding_quality import EmbeddingQuality, embedding_quality
from ._energy import energy_distance
from ._factor_matching import FactorMatch, match_loadings
from ._homogeneous_association import homogeneous_association
from ._integrated_gradients import IntegratedGradients, integrated_gradients
from ._log_odds import LogOdds, LogOddsAgreement, compare_log_odds, log_odds_ratio
from ._marginals import CellMarginals, GeneMarginals, cell_marginals, gene_marginals
from ._memorization import Memorization, memorization
from ._null_copies import independent_copy, poisson_copy
from ._prior_gap import PriorGap, prior_gap
from ._rotation import varimax
from ._separation import DistanceRatio, Silhouette, distance_ratio, silhouette
from ._signatures import SetOverlap, pareto_fronts, set_overlap
from ._simpson_table import simpson_table
from ._sinkhorn import sinkhorn_divergence
from ._transformation import TransformationRecovery, transformation_recovery
from ._two_sample import TwoSampleResult, two_sample_test
from ._wasserstein import wasserstein_distance

__all__ = [
    "CellMarginals",
    "ClassifierTest",
    "ConditionalAssociation",
    "DensityCoverage",
    "DistanceRatio",
    "EmbeddingDistortion",
    "EmbeddingQuality",
    "FactorMatch",
    "GeneMarginals",
    "IntegratedGradients",
    "LogOdds",
    "LogOddsAgreement",
    "MatrixAgreement",
    "Memorization",
    "NeighborMixing",
    "PriorGap",
    "Procrustes",
    "SetOverlap",
    "Silhouette",
    "TransformationRecovery",
    "TwoSampleResult",
    "cell_marginals",
    "classifier_two_sample",
    "compare_log_odds",
    "conditional_association",
    "density_coverage",
    "dependence",
    "distance_ratio",
    "embedding_distortion",
    "embedding_quality",
    "energy_distance",
    "gene_marginals",
    "homogeneous_association",
    "independent_copy",
    "integrated_gradients",
    "linear_cka",
    "log_odds_ratio",
    "match_loadings",
    "matrix_agreement",
    "memorization",
    "neighbor_mixing",
    "pareto_fronts",
    "poisson_copy",
    "prior_gap",
    "procrustes",
    "set_overlap",
    "silhouette",
    "simpson_table",
    "sinkhorn_divergence",
    "transformation_recovery",
    "two_sample_test",
    "varimax",
    "wasserstein_distance",
]
