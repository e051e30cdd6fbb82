"""Checks and explanations on AnnData and trained models."""

__all__: list[str] = []
