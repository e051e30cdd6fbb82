"""Model classes: register an AnnData, train, read results, save and load."""

from ._countvi import CountVI

__all__ = ["CountVI"]
