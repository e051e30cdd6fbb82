"""Checks and explanations on AnnData and trained models."""

from ._held_out_time import held_out_time
from ._latent_distances import latent_distances
from ._sample import sample
from ._trajectory import trajectory
from ._velocity import velocity

__all__ = ["held_out_time", "latent_distances", "sample", "trajectory", "velocity"]
