"""Figures of what `tl` wrote."""

from ._embedding_overlay import embedding_overlay
from ._history import history
from ._latent_distances import latent_distances
from ._marginals import marginals
from ._two_sample import two_sample

__all__ = ["embedding_overlay", "history", "latent_distances", "marginals", "two_sample"]
