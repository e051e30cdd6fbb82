"""Checks and explanations on AnnData and trained models."""

from ._sample import sample

__all__ = ["sample"]
