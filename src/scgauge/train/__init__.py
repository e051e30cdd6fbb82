"""Training plans, data splitters and schedules for Lightning."""

from ._flow_matching import couple, match_flow, spline_weights
from ._plan import CountTrainingPlan, library_prior, warmup_epochs
from ._splitting import CellSplitter
from ._time_plan import SnapshotPlan

__all__ = [
    "CellSplitter",
    "CountTrainingPlan",
    "SnapshotPlan",
    "couple",
    "library_prior",
    "match_flow",
    "spline_weights",
    "warmup_epochs",
]
