"""The only file that imports private names of scvi-tools or knows its versions (1.4.2 to 1.5)."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING

import pandas as pd
import scvi
from scvi.data._constants import ADATA_MINIFY_TYPE
from scvi.data._utils import _get_adata_minify_type as get_minify_type
from scvi.model._utils import use_distributed_sampler as shares_cells
from scvi.model.base._de_core import _de_core as differential_expression_core
from scvi.module._constants import MODULE_KEYS
from scvi.train import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ADATA_MINIFY_TYPE",
    "EXACT_NUMBERS",
    "MODULE_KEYS",
    "PLAN_TAKES_FUSED",
    "SCVI_VERSION",
    "differential_expression_core",
    "get_minify_type",
    "remembered_seed",
    "set_remembered_seed",
    "shares_cells",
    "silent_transfer",
]

SCVI_VERSION = tuple(int(part) for part in scvi.__version__.split(".")[:2])

#: Options of `pandas.read_csv` that give numbers back to the last bit, as pandas does by itself from 3.1.
EXACT_NUMBERS = (
    {} if tuple(int(part) for part in pd.__version__.split(".")[:2]) >= (3, 1) else {"float_precision": "round_trip"}
)

#: scvi-tools 1.5 made the fused Adam its default; it cannot clip gradients under mixed precision.
PLAN_TAKES_FUSED = "fused_optimizer" in signature(TrainingPlan.__init__).parameters


def remembered_seed() -> int | None:
    """Return the seed that scvi remembers."""
    return scvi.settings.seed


def set_remembered_seed(seed: int | None) -> None:
    """Put back the seed that scvi remembers without reseeding any library, as the public setter would."""
    scvi.settings._seed = seed


@contextmanager
def silent_transfer() -> Iterator[None]:
    """Keep scvi-tools from announcing that new cells are registered: it is no news to who passed them."""
    logger = logging.getLogger("scvi.model.base._base_model")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
