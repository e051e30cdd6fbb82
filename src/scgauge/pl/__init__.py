"""Figures of what `tl` wrote."""

from ._embedding_overlay import embedding_overlay
from ._factor_scatter import factor_scatter
from ._factor_stability import factor_stability
from ._history import history
from ._latent_distances import latent_distances
from ._loadings import loadings
from ._marginals import marginals

__all__ = [
    "embedding_overlay",
    "factor_scatter",
    "factor_stability",
    "history",
    "latent_distances",
    "loadings",
    "marginals",
]
