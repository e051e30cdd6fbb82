"""Model classes: register an AnnData, train, read results, save and load."""

__all__: list[str] = []
