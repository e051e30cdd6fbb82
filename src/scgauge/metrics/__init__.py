"""The numbers behind the checks: arrays in, numbers out."""

from ._energy import energy_distance
from ._marginals import CellMarginals, GeneMarginals, cell_marginals, gene_marginals
from ._prior_gap import PriorGap, prior_gap
from ._separation import DistanceRatio, Silhouette, distance_ratio, silhouette
from ._wasserstein import wasserstein_distance

__all__ = [
    "CellMarginals",
    "DistanceRatio",
    "GeneMarginals",
    "PriorGap",
    "Silhouette",
    "cell_marginals",
    "distance_ratio",
    "energy_distance",
    "gene_marginals",
    "prior_gap",
    "silhouette",
    "wasserstein_distance",
]
