"""Figures of what `tl` wrote."""

from ._attribution import attribution
from ._cell_quality import cell_quality
from ._correlation_agreement import correlation_agreement
from ._embedding_overlay import embedding_overlay
from ._embedding_quality import embedding_quality
from ._factor_scatter import factor_scatter
from ._factor_stability import factor_stability
from ._held_out_time import held_out_time
from ._history import history
from ._individual_trajectories import individual_trajectories
from ._latent_distances import latent_distances
from ._learning_curve import learning_curve
from ._loadings import loadings
from ._log_odds import log_odds
from ._marginals import marginals
from ._memorization import memorization
from ._patterns import patterns
from ._rnx import rnx
from ._synthetic_quality import synthetic_quality
from ._trajectory import trajectory
from ._two_sample import two_sample
from ._velocity_field import velocity_field

__all__ = [
    "attribution",
    "cell_quality",
    "correlation_agreement",
    "embedding_overlay",
    "embedding_quality",
    "factor_scatter",
    "factor_stability",
    "held_out_time",
    "history",
    "individual_trajectories",
    "latent_distances",
    "learning_curve",
    "loadings",
    "log_odds",
    "marginals",
    "memorization",
    "patterns",
    "rnx",
    "synthetic_quality",
    "trajectory",
    "two_sample",
    "velocity_field",
]
