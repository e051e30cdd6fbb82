"""Pages that show a model to its user."""

__all__: list[str] = []
