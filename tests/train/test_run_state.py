"""Runs that are interrupted go on to the very same weights, and leave nothing half-written."""

import errno
import logging
import os
import random
import warnings
from contextlib import suppress
from types import SimpleNamespace
from typing import Literal, NamedTuple

import numpy as np
import pytest
import torch
from faults.interrupted_run import Progress, StopAt, differing, kill_once, start, train
from faults.model_calls import RECIPES

from scgauge.train._run_state import read_run_state

pytestmark = [
    pytest.mark.quick,
    # What Lightning and scvi-tools say of a run that goes on, and of runs as short as these.
    pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:scvi"),
]
#: Stages that keep something of their own between epochs.
STAGES = {
    "DeepBoltzmannMachine": {"plan_kwargs": {"pretrain_epochs": 2}},
    "ODEVI of subjects": {"plan_kwargs": {"n_similar": 3}},
    "ODEVI": {"plan_kwargs": {"n_flow_steps": 2, "joint_share": 0.5}},
}


def interrupted(name, path, batch, **more):
    with pytest.raises(ArithmeticError, match="stopped"):
        train(start(name), name, path, callbacks=[StopAt(batch)], **more)
    return path


def check_resumes_exactly(name, path, batches, **more):
    whole = train(start(name), name, None, **more)
    for batch in batches:
        path.unlink(missing_ok=True)
        interrupted(name, path, batch, **more)
        # Another seed: all that follows must come from the file.
        again = train(start(name, seed=7), name, path, seed=7, **more)
        assert differing(whole, again) == []


@pytest.mark.parametrize("name", ["CountVI", "Autoencoder", "BayesianLinearVI", "DeepBoltzmannMachine"])
def test_an_interrupted_run_goes_on_to_the_same_weights_and_history(name, tmp_path):
    check_resumes_exactly(name, tmp_path / "run.ckpt", [9], **STAGES.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_every_model_goes_on_from_every_epoch(name, tmp_path):
    more = STAGES.get(name, {})
    by_subject = more.get("plan_kwargs", {}).get("n_similar")
    batches = [1, 3, 7, 12] if by_subject else [1, 3, 9, 14, 22]
    check_resumes_exactly(name, tmp_path / "run.ckpt", batches, **more)


def test_early_stopping_and_validation_go_on(tmp_path):
    arguments = {
        "early_stopping": True,
        "early_stopping_patience": 2,
        "early_stopping_min_delta": 1e6,
        "train_size": 0.8,
        "epochs": 12,
    }
    check_resumes_exactly("CountVI", tmp_path / "run.ckpt", [11], **arguments)


def test_a_run_that_is_complete_stays_as_it_is(tmp_path):
    path = tmp_path / "run.ckpt"
    whole = train(start("CountVI"), "CountVI", path)
    assert differing(whole, train(start("CountVI", seed=3), "CountVI", path, seed=3)) == []
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]


@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt])
def test_what_an_interruption_leaves_is_untrained(error, tmp_path):
    model = start("CountVI")
    # Lightning ends the process after Ctrl-C.
    with pytest.raises((error, SystemExit)):
        train(model, "CountVI", tmp_path / "run.ckpt", callbacks=[StopAt(9, error)])
    assert not model.module.training
    with pytest.raises(RuntimeError, match="untrained"):
        model.get_latent_representation()


def test_an_interruption_of_a_second_training_leaves_a_model_that_answers_the_same_twice():
    model = train(start("CountVI"), "CountVI", None)
    with pytest.raises(ArithmeticError):
        train(model, "CountVI", None, callbacks=[StopAt(9)])
    first, second = model.get_latent_representation(), model.get_latent_representation()
    np.testing.assert_array_equal(first, second)


def test_a_full_disk_warns_and_keeps_the_earlier_state(tmp_path, monkeypatch):
    from lightning.pytorch import Trainer

    path, save, written = tmp_path / "run.ckpt", Trainer.save_checkpoint, []

    def fill(self, file, *args, **kwargs):
        if len(written) < 2:
            written.append(file)
            return save(self, file, *args, **kwargs)
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", fill)
    model = start("CountVI")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="The state of epoch")
        train(model, "CountVI", path)
    monkeypatch.undo()
    assert [str(warning.message)[:41] for warning in caught] == [
        f"The state of epoch {epoch} could not be written" for epoch in (2, 3, 4)
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]
    assert torch.load(path, weights_only=True)["epoch"] == 1
    assert differing(model, train(start("CountVI"), "CountVI", path)) == []


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "text", "other"])
def test_a_damaged_file_is_named_and_nothing_is_trained(damage, tmp_path):
    path = interrupted("CountVI", tmp_path / "run.ckpt", 9)
    content = path.read_bytes()
    if damage == "other":
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        noise = np.random.default_rng(0).bytes(999)
        parts = {"cut": content[: len(content) // 2], "noise": noise, "empty": b"", "text": b"hello"}
        path.write_bytes(parts[damage])
    model = start("CountVI")
    with pytest.raises(ValueError, match=r"run\.ckpt is damaged or no state of a run"):
        train(model, "CountVI", path)
    assert not model.is_trained


def test_any_bytes_are_no_state_of_a_run(tmp_path):
    path = tmp_path / "run.ckpt"
    rng = np.random.default_rng(0)
    torch.save({"scgauge_run": {"run": {}, "version": 1}}, path)
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    n_refused = 0
    for _ in range(300):
        changed = content.copy()
        changed[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
        for damaged in (rng.bytes(400), changed.tobytes()):
            path.write_bytes(damaged)
            with suppress(ValueError):
                read_run_state(path, run={})
                continue  # what changed is not read
            n_refused += 1
    assert n_refused > 400


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = interrupted("CountVI", tmp_path / "run.ckpt", 9)
    state = torch.load(path, weights_only=True)
    torch.save(state | {"more": Hostile()}, path)
    with pytest.raises(ValueError, match="is damaged or no state"):
        train(start("CountVI"), "CountVI", path)
    assert not (tmp_path / "hostile").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"epochs": 9}, "max_epochs was 5 and is 9"), ({"batch_size": 16}, "batch_size was 8 and is 16")],
)
def test_the_state_of_another_run_is_refused(changed, message, tmp_path):
    path = interrupted("CountVI", tmp_path / "run.ckpt", 9)
    with pytest.raises(ValueError, match=f"is the state of another run: {message}"):
        train(start("CountVI"), "CountVI", path, **changed)


def test_the_state_of_another_model_is_refused(tmp_path):
    path = interrupted("CountVI", tmp_path / "run.ckpt", 9)
    with pytest.raises(ValueError, match="model was CountVI and is LinearVI"):
        train(start("LinearVI"), "LinearVI", path)


class Kill(NamedTuple):
    """The epoch in which a run was killed, and how far the state of its start was."""

    epoch: int
    state: Literal["in place", "not in place", "half a file"]


def written(path):
    """When what is at a path was last written, if anything is."""
    return path.stat().st_mtime_ns if path.exists() else None


def kill_at(moment, path, **arguments):
    """Kill a run at a moment, in epochs; ``None`` if it was over by then, and its state is that of before again."""
    unfinished = path.with_name(".unfinished-run.ckpt")
    before, left = path.read_bytes() if path.exists() else None, written(unfinished)
    epoch = kill_once("CountVI", path, moment=moment, **arguments)
    if epoch is None:
        path.unlink() if before is None else path.write_bytes(before)
        return None
    assert 0 <= epoch < arguments["epochs"]
    state = torch.load(path, weights_only=True)["epoch"] if path.exists() else -1
    assert epoch - state in {0, 1}
    if state == epoch:
        return Kill(epoch, "in place")
    return Kill(epoch, "not in place" if written(unfinished) == left else "half a file")


def check_killed_run(folder, *, seed, n_kills, epochs):
    """Kill a run at moments spread evenly over its length, each process going on from what the last has left."""
    rng = random.Random(seed)
    folder.mkdir()
    path, progress = folder / "run.ckpt", Progress(SimpleNamespace())
    whole = train(start("CountVI"), "CountVI", folder / "whole.ckpt", epochs=epochs, callbacks=[progress])
    (folder / "whole.ckpt").unlink()
    arguments = {"epochs": epochs, "epoch_seconds": np.median(np.diff(progress.began))}
    moments = sorted(rng.uniform(0, epochs) for _ in range(n_kills))
    kills = []
    while moments:
        kill = kill_at(moments.pop(0), path, **arguments)
        if kill is None:
            moments.insert(0, rng.uniform(kills[-1].epoch if kills else 0, epochs))
        else:
            kills.append(kill)
    again = train(start("CountVI", seed=99), "CountVI", path, epochs=epochs, seed=99)
    assert differing(whole, again) == []
    # The file of a write that was killed is replaced by the next write, and gone after it.
    assert [file.name for file in folder.iterdir()] == ["run.ckpt"]
    return kills


def test_a_run_that_is_killed_goes_on_to_the_same_weights(tmp_path):
    check_killed_run(tmp_path / "run", seed=0, n_kills=1, epochs=30)


@pytest.mark.slow
def test_runs_killed_at_twenty_moments_go_on_to_the_same_weights(tmp_path):
    epochs = 100
    runs = [check_killed_run(tmp_path / f"run{seed}", seed=seed, n_kills=5, epochs=epochs) for seed in range(4)]
    logging.getLogger(__name__).info("killed at %s", [[tuple(kill) for kill in run] for run in runs])
    # All over the run.
    assert {4 * kill.epoch // epochs for run in runs for kill in run} == {0, 1, 2, 3}
