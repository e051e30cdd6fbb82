"""Training plans, data loaders and splitters, and schedules for Lightning."""

from ._autoencoder_plan import AutoencoderPlan, proximal_step
from ._bayesian_plan import BayesianTrainingPlan
from ._boltzmann_plan import BoltzmannPlan
from ._cell_loader import CellLoader, cell_loader
from ._cell_store import CellStore
from ._early_stopping import stopping_together
from ._flow_matching import match_flow
from ._group_fit import GroupFit, fit_groups, refine_groups
from ._longitudinal_plan import LongitudinalPlan
from ._plan import CountTrainingPlan, library_prior, warmup_epochs
from ._processes import check_processes
from ._run_state import RunState
from ._similar_subjects import similar_subjects
from ._snapshot_paths import SnapshotCells, couple, spline_weights
from ._splitting import CellSplitter
from ._subject_loader import CohortSplitter, SubjectLoader, SubjectSplitter
from ._time_plan import SnapshotPlan

__all__ = [
    "AutoencoderPlan",
    "BayesianTrainingPlan",
    "BoltzmannPlan",
    "CellLoader",
    "CellSplitter",
    "CellStore",
    "CohortSplitter",
    "CountTrainingPlan",
    "GroupFit",
    "LongitudinalPlan",
    "RunState",
    "SnapshotCells",
    "SnapshotPlan",
    "SubjectLoader",
    "SubjectSplitter",
    "cell_loader",
    "check_processes",
    "couple",
    "fit_groups",
    "library_prior",
    "match_flow",
    "proximal_step",
    "refine_groups",
    "similar_subjects",
    "spline_weights",
    "stopping_together",
    "warmup_epochs",
]
