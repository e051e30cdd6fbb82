"""Training plans, data splitters and schedules for Lightning."""

from ._plan import CountTrainingPlan, library_prior, warmup_epochs
from ._splitting import CellSplitter

__all__ = ["CellSplitter", "CountTrainingPlan", "library_prior", "warmup_epochs"]
