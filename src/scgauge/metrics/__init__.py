"""The numbers behind the checks: arrays in, numbers out."""

from ._energy import energy_distance
from ._factor_matching import FactorMatch, match_loadings
from ._marginals import CellMarginals, GeneMarginals, cell_marginals, gene_marginals
from ._prior_gap import PriorGap, prior_gap
from ._rotation import varimax
from ._separation import DistanceRatio, Silhouette, distance_ratio, silhouette

__all__ = [
    "CellMarginals",
    "DistanceRatio",
    "FactorMatch",
    "GeneMarginals",
    "PriorGap",
    "Silhouette",
    "cell_marginals",
    "distance_ratio",
    "energy_distance",
    "gene_marginals",
    "match_loadings",
    "prior_gap",
    "silhouette",
    "varimax",
]
