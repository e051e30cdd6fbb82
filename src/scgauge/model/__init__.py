"""Model classes: register an AnnData, train, read results, save and load."""

from ._countvi import CountVI
from ._linearvi import LinearVI

__all__ = ["CountVI", "LinearVI"]
