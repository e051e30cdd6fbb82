"""Figures of what `tl` wrote."""

__all__: list[str] = []
