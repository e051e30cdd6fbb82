"""The numbers behind the checks: arrays in, numbers out."""

from scgauge._core.arguments import check_arguments as _check_arguments

from ._alignment import Procrustes, linear_cka, procrustes
from ._call_rates import CallRates, call_rates
from ._classifier import ClassifierTest, classifier_two_sample
from ._conditional_association import ConditionalAssociation, conditional_association
from ._conditional_shift import ConditionalShift, conditional_shift
from ._decode_barcodes import DecodedBarcodes, decode_barcodes
from ._density_coverage import DensityCoverage, NeighborMixing, density_coverage, neighbor_mixing
from ._dependence import MatrixAgreement, dependence, matrix_agreement
from ._embedding_distortion import EmbeddingDistortion, embedding_distortion
from ._embedding_quality import EmbeddingQuality, embedding_quality
from ._energy import energy_distance
from ._excess_loss import ExcessLoss, excess_loss
from ._factor_matching import FactorMatch, match_loadings
from ._homogeneous_association import homogeneous_association
from ._integrated_gradients import IntegratedGradients, integrated_gradients
from ._label_shift import LabelShift, label_shift
from ._log_odds import LogOdds, LogOddsAgreement, compare_log_odds, log_odds_ratio
from ._marginals import CellMarginals, GeneMarginals, cell_marginals, gene_marginals
from ._mean_decomposition import mean_decomposition
from ._memorization import Memorization, memorization
from ._null_copies import independent_copy, poisson_copy
from ._prior_gap import PriorGap, prior_gap
from ._rewire_graph import rewire_graph
from ._rotation import varimax
from ._separation import DistanceRatio, Silhouette, distance_ratio, silhouette
from ._signatures import SetOverlap, pareto_fronts, set_overlap
from ._simpson_table import simpson_table
from ._sinkhorn import sinkhorn_divergence
from ._spurious_correlation import SpuriousCorrelation, spurious_correlation
from ._thin_counts import thin_counts
from ._transformation import TransformationRecovery, transformation_recovery
from ._two_sample import TwoSampleResult, two_sample_test
from ._wasserstein import wasserstein_distance

__all__ = [
    "CallRates",
    "CellMarginals",
    "ClassifierTest",
    "ConditionalAssociation",
    "ConditionalShift",
    "DecodedBarcodes",
    "DensityCoverage",
    "DistanceRatio",
    "EmbeddingDistortion",
    "EmbeddingQuality",
    "ExcessLoss",
    "FactorMatch",
    "GeneMarginals",
    "IntegratedGradients",
    "LabelShift",
    "LogOdds",
    "LogOddsAgreement",
    "MatrixAgreement",
    "Memorization",
    "NeighborMixing",
    "PriorGap",
    "Procrustes",
    "SetOverlap",
    "Silhouette",
    "SpuriousCorrelation",
    "TransformationRecovery",
    "TwoSampleResult",
    "call_rates",
    "cell_marginals",
    "classifier_two_sample",
    "compare_log_odds",
    "conditional_association",
    "conditional_shift",
    "decode_barcodes",
    "density_coverage",
    "dependence",
    "distance_ratio",
    "embedding_distortion",
    "embedding_quality",
    "energy_distance",
    "excess_loss",
    "gene_marginals",
    "homogeneous_association",
    "independent_copy",
    "integrated_gradients",
    "label_shift",
    "linear_cka",
    "log_odds_ratio",
    "match_loadings",
    "matrix_agreement",
    "mean_decomposition",
    "memorization",
    "neighbor_mixing",
    "pareto_fronts",
    "poisson_copy",
    "prior_gap",
    "procrustes",
    "rewire_graph",
    "set_overlap",
    "silhouette",
    "simpson_table",
    "sinkhorn_divergence",
    "spurious_correlation",
    "thin_counts",
    "transformation_recovery",
    "two_sample_test",
    "varimax",
    "wasserstein_distance",
]

_check_arguments(__name__)
