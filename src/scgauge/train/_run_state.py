from __future__ import annotations

import random
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from scvi.train import SaveCheckpoint

from scgauge._core.checksums import damaged_part
from scgauge._core.whole_files import finished_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch import LightningModule, Trainer

#: Name of our part of the file, and its version.
_PART, _VERSION = "scgauge_run", 1


class RunState(Callback):
    """Keeps the state of a run in a file, from which it can go on to the very same end.

    Written at the start of every epoch, before it draws its first random number: weights, optimizer, schedules, loops,
    callbacks, the states of all random number generators, the split and the history. The file is written beside its
    place and then moved there, so that it is whole at every moment, whatever stops the run; a disk that is full warns
    and leaves the state of an earlier epoch.

    Parameters
    ----------
    path
        The file.
    run
        What tells this run from others: plain data, compared with that of the file.

    Raises
    ------
    ValueError
        If the file exists and is damaged, is no state of a run, or is that of another run.
    """

    def __init__(self, path: str | Path, *, run: Mapping[str, Any]) -> None:
        self.path, self.run = Path(path), dict(run)
        #: State to go on from, until it has been put in place.
        self.resumed = read_run_state(self.path, run=self.run) if self.path.exists() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the split of the interrupted run."""
        if self.resumed is not None and trainer.datamodule is not None:
            for name, cells in self.resumed[_PART]["split"].items():
                setattr(trainer.datamodule, name, cells.numpy())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the state in place at the first epoch after an interruption, and write it at every other."""
        if self.resumed is None:
            self._write(trainer)
            return
        state, self.resumed = self.resumed, None
        # Once more: plans learn scales from the cells at the start, in another order of summation.
        pl_module.load_state_dict(state["state_dict"])
        _set_history(trainer, state[_PART]["history"])
        if trainer.current_epoch > 0:
            # Loaders with worker processes draw their seed here, as at the start of every epoch but the first.
            iter(trainer.fit_loop._data_fetcher)
        _set_random_state(state[_PART]["random"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not keep."""
        # It would take the last minibatch of the epoch before for one of this epoch, and count an epoch twice.
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches |= {"is_last_batch": False, "current": dict.fromkeys(batches["current"], 0)}
        names = ("train_idx", "val_idx", "test_idx")
        split = {name: getattr(trainer.datamodule, name, None) for name in names}
        checkpoint[_PART] = {
            "version": _VERSION,
            "run": self.run,
            "split": {name: torch.as_tensor(np.asarray(rows)) for name, rows in split.items() if rows is not None},
            "history": _history(trainer),
            "random": _random_state(),
        }

    def _write(self, trainer: Trainer) -> None:
        callbacks = trainer.callbacks
        # That of scvi-tools would save a model of its own each time.
        trainer.callbacks = [one for one in callbacks if not isinstance(one, SaveCheckpoint)]
        try:
            # All processes take part, the first alone writes.
            with finished_file(self.path) if trainer.is_global_zero else nullcontext(self.path) as unfinished:
                trainer.save_checkpoint(unfinished, weights_only=False)
        except OSError as error:
            rank_zero_warn(
                f"The state of epoch {trainer.current_epoch} could not be written to {self.path} ({error}); "
                "training goes on, and an interruption would lose what came after the last state.",
                category=UserWarning,
            )
        finally:
            trainer.callbacks = callbacks


def read_run_state(path: Path, *, run: Mapping[str, Any]) -> dict[str, Any]:
    """Read the state of a run; nothing in the file is executed.

    Parameters
    ----------
    path
        File that `RunState` has written.
    run
        What tells the present run from others.

    Raises
    ------
    ValueError
        If the file is damaged, no state of a run, or that of another run; the message names what differs.
    """
    damaged = damaged_part(path)
    if damaged is not None:  # torch would read other numbers
        message = f"{path} is damaged or no state of a run of scgauge ({damaged}). Delete it to train from the start."
        raise ValueError(message)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        part = state[_PART]
        known, version = dict(part["run"]), part["version"]
    except Exception as error:  # bytes of any kind raise errors of any kind
        message = f"{path} is damaged or no state of a run of scgauge. Delete it to train from the start."
        raise ValueError(message) from error
    differing = sorted(key for key in known.keys() | run.keys() if known.get(key) != run.get(key))
    if version != _VERSION or differing:
        found = "; ".join(f"{key} was {known.get(key)} and is {run.get(key)}" for key in differing)
        message = (
            f"{path} is the state of another run: {found or f'version {version} of the file'}. "
            "Train as before, choose another file, or delete it to train from the start."
        )
        raise ValueError(message)
    return state


def _history(trainer: Trainer) -> dict[str, dict[str, Any]]:
    frames = getattr(trainer.logger, "history", None)
    if not isinstance(frames, dict):
        return {}
    return {
        name: {
            "axis": frame.index.name,
            "index": [int(at) for at in frame.index],
            "values": [float(value) for value in frame[name]],
        }
        for name, frame in frames.items()
    }


def _set_history(trainer: Trainer, history: Mapping[str, Mapping[str, Any]]) -> None:
    data = getattr(getattr(trainer.logger, "experiment", None), "data", None)
    if isinstance(data, dict):
        for name, column in history.items():
            index = pd.Index(column["index"], name=column["axis"])
            data[name] = pd.DataFrame({name: pd.Series(column["values"], index=index, dtype=object)})


def _random_state() -> dict[str, Any]:
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002 - libraries draw from it
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.as_tensor(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: Mapping[str, Any]) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
