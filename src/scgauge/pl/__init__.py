"""Figures of what `tl` wrote."""

from ._embedding_overlay import embedding_overlay
from ._held_out_time import held_out_time
from ._history import history
from ._latent_distances import latent_distances
from ._marginals import marginals
from ._trajectory import trajectory
from ._velocity_field import velocity_field

__all__ = [
    "embedding_overlay",
    "held_out_time",
    "history",
    "latent_distances",
    "marginals",
    "trajectory",
    "velocity_field",
]
