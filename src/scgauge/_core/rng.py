"""Randomness: numpy Generators for our own draws, a guard for libraries that use the global state."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import scvi
import torch

from scgauge._core.compat import remembered_seed, set_remembered_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What `rng` parameters accept.
RNG = int | np.random.Generator | None

_SEED_VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")


def generator(rng: RNG) -> np.random.Generator:
    """Turn an `rng` argument into a numpy Generator."""
    return np.random.default_rng(rng)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under ``scvi.settings.seed = seed`` and put all global state back afterwards.

    Restored, also after an exception: the states of `random`, numpy and torch (every device), the seed that scvi
    remembers and the environment variables that Lightning sets.
    """
    variables = {name: os.environ.get(name) for name in _SEED_VARIABLES}
    state = random.getstate(), np.random.get_state()  # noqa: NPY002 - reading the legacy state in order to restore it
    scvi_seed = remembered_seed()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            scvi.settings.seed = seed
            yield
        finally:
            random.setstate(state[0])
            np.random.set_state(state[1])  # noqa: NPY002
            set_remembered_seed(scvi_seed)
            for name, value in variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
