"""The numbers behind the checks: arrays in, numbers out."""

from ._conditional_association import ConditionalAssociation, conditional_association
from ._energy import energy_distance
from ._integrated_gradients import IntegratedGradients, integrated_gradients
from ._marginals import CellMarginals, GeneMarginals, cell_marginals, gene_marginals
from ._prior_gap import PriorGap, prior_gap
from ._separation import DistanceRatio, Silhouette, distance_ratio, silhouette
from ._simpson_table import simpson_table

__all__ = [
    "CellMarginals",
    "ConditionalAssociation",
    "DistanceRatio",
    "GeneMarginals",
    "IntegratedGradients",
    "PriorGap",
    "Silhouette",
    "cell_marginals",
    "conditional_association",
    "distance_ratio",
    "energy_distance",
    "gene_marginals",
    "integrated_gradients",
    "prior_gap",
    "silhouette",
    "simpson_table",
]
