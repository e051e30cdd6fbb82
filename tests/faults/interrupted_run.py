"""Training that somebody stops, for tests of what is left; importable by processes that are killed."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from faults.model_calls import RECIPES, class_of
from lightning.pytorch.callbacks import Callback

from scgauge._core.rng import seeded


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


class Progress(Callback):
    """Tells the epoch to whoever shares `epoch`, and keeps when each began."""

    def __init__(self, epoch: Any) -> None:
        self.epoch, self.began = epoch, []

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        self.epoch.value = trainer.current_epoch
        self.began.append(time.perf_counter())


def train_and_tell(name: str, path: str, epochs: int, seed: int, epoch: Any) -> None:
    """What a process does that may be killed; an epoch more than there are is told at the end."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    train(start(name, seed=seed), name, Path(path), epochs=epochs, seed=seed, callbacks=[Progress(epoch)])
    epoch.value = epochs


def kill_once(name: str, path: Path, *, epochs: int, moment: float, epoch_seconds: float) -> int | None:
    """Start or resume a run in another process and kill it at a moment, in epochs; return the epoch in which it was.

    Within its epoch the kill comes as long after the begin as an undisturbed epoch takes to get there. On a busy
    machine it falls earlier or later, into another epoch or, rarely, after the end: then ``None`` is returned.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.interrupted_run"])
    epoch = context.Value("i", -1, lock=False)  # a lock may be held by the process that is killed
    # Another seed: all that follows must come from the file.
    arguments = (name, str(path), epochs, 7 if path.exists() else 0, epoch)
    process = context.Process(target=train_and_tell, args=arguments)
    process.start()
    while epoch.value < int(moment) and process.is_alive():
        time.sleep(1e-4)
    time.sleep(moment % 1 * epoch_seconds)
    process.kill()
    process.join(300)
    if epoch.value == epochs:
        return None
    assert process.exitcode == -signal.SIGKILL, f"the run ended by itself (exit {process.exitcode})"
    return epoch.value
