"""Training plans, data loaders and splitters, and schedules for Lightning."""

from ._bayesian_plan import BayesianTrainingPlan
from ._cell_loader import CellLoader, cell_loader
from ._cell_store import CellStore
from ._plan import CountTrainingPlan, library_prior, warmup_epochs
from ._splitting import CellSplitter

__all__ = [
    "BayesianTrainingPlan",
    "CellLoader",
    "CellSplitter",
    "CellStore",
    "CountTrainingPlan",
    "cell_loader",
    "library_prior",
    "warmup_epochs",
]
