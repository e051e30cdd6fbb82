"""Randomness: numpy Generators for our own draws, a guard for libraries that use the global state."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import scvi
import torch

from scgauge._core.compat import remembered_seed, set_remembered_seed
from scgauge._core.loggers import warnings_only

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What `rng` parameters accept.
RNG = int | np.random.Generator | None
#: How they read in messages.
SEED_WORDS = "an integer of at least 0, a numpy Generator (np.random.default_rng(seed)) or None"


def is_seed(value: Any) -> bool:
    """Whether a value can be an `rng` argument."""
    if value is None or isinstance(value, np.random.Generator):
        return True
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def generator(rng: RNG) -> np.random.Generator:
    """Turn an `rng` argument into a numpy Generator.

    Raises
    ------
    TypeError
        If it is something else than an integer from 0, a Generator or ``None``.
    """
    if not is_seed(rng):
        message = f"rng={rng!r} was given; {SEED_WORDS} is needed."
        raise TypeError(message)
    return np.random.default_rng(rng)


@contextmanager
def same_torch_state() -> Iterator[None]:
    """Run a block and put torch's random state back afterwards, on the CPU and on every GPU of CUDA."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under ``scvi.settings.seed = seed`` and put all global state back afterwards.

    Restored, also after an exception: the states of `random`, numpy and torch (every device), the seed that scvi
    remembers and the environment variables that Lightning and scvi-tools set.
    """
    environment = dict(os.environ)
    state = random.getstate(), np.random.get_state()  # noqa: NPY002 - reading the legacy state in order to restore it
    scvi_seed = remembered_seed()
    with same_torch_state():
        try:
            with warnings_only("lightning.fabric.utilities.seed"):  # which says each seed that is set
                scvi.settings.seed = seed
            yield
        finally:
            random.setstate(state[0])
            np.random.set_state(state[1])  # noqa: NPY002
            set_remembered_seed(scvi_seed)
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update(environment)
