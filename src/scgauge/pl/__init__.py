"""Figures of what `tl` wrote."""

from ._attribution import attribution
from ._embedding_overlay import embedding_overlay
from ._history import history
from ._latent_distances import latent_distances
from ._marginals import marginals
from ._patterns import patterns

__all__ = ["attribution", "embedding_overlay", "history", "latent_distances", "marginals", "patterns"]
