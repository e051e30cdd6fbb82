"""Training that somebody stops, for tests of what is left; importable by processes that are killed."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import warnings
from typing import TYPE_CHECKING, Any

import torch
from faults.model_calls import RECIPES, class_of
from lightning.pytorch.callbacks import Callback

from scgauge._core.rng import seeded

if TYPE_CHECKING:
    from pathlib import Path


class StopAt(Callback):
    """Raises an error at the start of a minibatch, counted from 1."""

    def __init__(self, batch: int, error: type[BaseException] = ArithmeticError) -> None:
        self.left, self.error = batch, error

    def on_train_batch_start(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            message = "stopped"
            raise self.error(message)


def start(name: str, *, seed: int = 0) -> Any:
    """Return an untrained model of a recipe."""
    recipe = RECIPES[name]
    with seeded(seed):
        adata = recipe.cells()
        class_of(name).setup_anndata(adata, **recipe.setup)
        return class_of(name)(adata, **recipe.network)


def train(model: Any, name: str, path: Path | None, *, epochs: int = 5, seed: int = 0, **more: Any) -> Any:
    """Train with five minibatches an epoch; everything random follows the seed until a state replaces it."""
    arguments = {"batch_size": 8, "enable_progress_bar": False, "accelerator": "cpu", **RECIPES[name].training, **more}
    with seeded(seed), contextlib.redirect_stdout(io.StringIO()):
        model.train(max_epochs=epochs, resume_from=path, **arguments)
    return model


def weights(model: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def differing(one: Any, other: Any) -> list[str]:
    """Weights and columns of the history that are not equal to the last bit."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    found = [name for name in left if not _equal(left[name], right[name])]
    assert one.history.keys() == other.history.keys()
    for name in one.history:
        columns = (torch.tensor(model.history[name].to_numpy(dtype=float)) for model in (one, other))
        if not _equal(*columns):
            found.append(f"history of {name}")
    return found


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


class KilledAfter(Callback):
    """Has the process killed by the system after so many seconds of computing, whatever it is doing then.

    The signal is one of which Python takes no notice, as it takes none of SIGKILL. A parent would come too late where
    the machine is busy.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(self, *_: Any) -> None:
        if self.seconds:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, self.seconds)
        self.seconds = 0.0


def train_until_killed(name: str, path: str, epochs: int, seed: int, seconds: float) -> None:
    """What a process does that is killed."""
    from pathlib import Path

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    killer = KilledAfter(seconds)
    train(start(name, seed=seed), name, Path(path), epochs=epochs, seed=seed, callbacks=[killer])
