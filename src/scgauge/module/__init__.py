"""Probability models in torch: inference, generative process, loss."""

__all__: list[str] = []
