"""The sections of a report, one file each."""

from ._embedding import embedding
from ._explanation import explanation
from ._memory import memory
from ._synthetic import drawn_cells, synthetic
from ._time import time_series
from ._training import training

__all__ = ["drawn_cells", "embedding", "explanation", "memory", "synthetic", "time_series", "training"]
