import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from cells import make_cells
from faults.model_calls import RECIPES, class_of

from scgauge.model import BayesianLinearVI, CountVI

N_TRAIN, N_VALIDATION = 322, 80
#: Five standard deviations of the held-out loss of four seeds of one process, as a share of it: CountVI 0.3 %, ODEVI
#: 0.5 %. Several processes normalise smaller minibatches, and leave out a last one, of two cells in one process.
SLACK = {
    "CountVI": 0.015,
    "LinearVI": 0.015,
    "ODEVI": 0.025,
    "ODEVI groups": 0.025,
    "Autoencoder": 0.1,
    "SupervisedVI": 0.015,
    "BayesianLinearVI": 0.015,
}
SLOW = [pytest.param((name, 2), marks=pytest.mark.slow) for name in SLACK if name != "CountVI"]
SLOW.append(pytest.param(("CountVI", 4), marks=pytest.mark.slow))


class Runs(NamedTuple):
    """What `ddp_script.py` wrote of a model: of one process, and of each process that shared the cells."""

    name: str
    one: dict[str, Any]
    ranks: list[dict[str, Any]]


@pytest.fixture(scope="module", params=[("CountVI", 2), *SLOW], ids=lambda run: "{} {}".format(*run))
def runs(request, tmp_path_factory):
    """Records of one process, and of each process of a run that shares the cells."""
    folder = tmp_path_factory.mktemp("ddp")
    name, n_processes = request.param
    script = Path(__file__).with_name("ddp_script.py")
    command = [sys.executable, str(script), str(folder), name, str(n_processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one = json.loads((folder / "rank0of1.json").read_text())
    ranks = [json.loads((folder / f"rank{rank}of{n_processes}.json").read_text()) for rank in range(n_processes)]
    return Runs(name, one, ranks)


def test_processes_agree_on_split_and_weights(runs):
    first, *others = runs.ranks
    assert len(set(first["validation"])) == N_VALIDATION
    for other in others:
        assert first["validation"] == other["validation"]
        assert first["weights"] == other["weights"]


def test_early_stopping_fires_once_in_all_processes_together(runs):
    # Of 60 epochs; scvi-tools would switch it off for several processes.
    assert [record["stops"] for record in (runs.one, *runs.ranks)] == [[39]] * (1 + len(runs.ranks))
    for record in (runs.one, runs.ranks[0]):  # other processes keep no history
        # Autoencoders have no bound.
        name = "elbo_validation" if "elbo_validation" in record["history"] else "validation_loss"
        assert len(record["history"][name]) == 40


def test_several_processes_end_where_one_does(runs):
    one, several = runs.one, runs.ranks[0]
    assert several["elbo"] == pytest.approx(one["elbo"], rel=SLACK[runs.name])
    assert set(several["history"]) == set(one["history"])
    # All cells are in the means: the loss is that of a part of them else.
    loss = "reconstruction_loss_train" if "reconstruction_loss_train" in one["history"] else "elbo_train"
    assert len(several["history"][loss]) == 40
    np.testing.assert_allclose(several["history"][loss][-1], one["history"][loss][-1], rtol=0.1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DeepBoltzmannMachine", "of which each process would have its own. It is trained by one process: leave out"),
        ("ODEVI of subjects", "individuals compares all of them in each process"),
    ],
)
def test_what_one_process_trains_says_so_before_any_starts(name, message, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    recipe = RECIPES[name]
    adata = recipe.cells()
    class_of(name).setup_anndata(adata, **recipe.setup)
    model = class_of(name)(adata, **recipe.network)
    with pytest.raises(ValueError, match=message):
        model.train(1, accelerator="cpu", devices=2, strategy="ddp")
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("devices", [2, "2", [0, 1], "0,1"], ids=repr)
def test_devices_without_a_strategy_are_an_error(devices, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    adata = make_cells()
    CountVI.setup_anndata(adata)
    with pytest.raises(ValueError, match=r"each process would go over all cells\. Pass strategy='ddp'"):
        CountVI(adata, n_latent=2, n_hidden=8).train(1, accelerator="cpu", devices=devices)


@pytest.mark.parametrize("name", ["device", "devices"])
def test_devices_of_models_with_pyro_have_two_names(name, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    adata = make_cells()
    BayesianLinearVI.setup_anndata(adata)
    model = BayesianLinearVI(adata, n_latent=2, n_hidden=8)
    with pytest.raises(ValueError, match=r"devices=2, .*each process would go over all cells"):
        model.train(1, accelerator="cpu", **{name: 2})
    model.train(1, accelerator="cpu", enable_progress_bar=False, **{name: 1})
    assert model.train_params_["devices"] == 1
    assert "device" not in model.train_params_
