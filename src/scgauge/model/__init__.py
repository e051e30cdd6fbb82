"""Model classes: register an AnnData, train, read results, save and load."""

from ._countvi import CountVI
from ._odevi import ODEVI

__all__ = ["ODEVI", "CountVI"]
