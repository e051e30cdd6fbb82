"""Layers, likelihoods and vector fields in torch."""

__all__: list[str] = []
