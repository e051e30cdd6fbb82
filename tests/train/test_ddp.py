import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Records of one process, and of both processes of a run that shares the cells."""
    folder = tmp_path_factory.mktemp("ddp")
    command = [sys.executable, str(Path(__file__).with_name("ddp_script.py")), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_processes_agree_on_split_and_weights(runs):
    first, second = runs["rank0of2"], runs["rank1of2"]
    assert first["validation"] == second["validation"]
    assert len(set(first["validation"])) == 80
    assert first["weights"] == second["weights"]


def test_early_stopping_fires_once_in_all_processes_together(runs):
    # Of 60 epochs; scvi-tools would switch it off for two processes.
    assert [run["stops"] for run in runs.values()] == [[39]] * 3
    for name in ("rank0of1", "rank0of2"):  # other processes keep no history
        assert len(runs[name]["history"]["elbo_validation"]) == 40


def test_two_processes_end_where_one_does(runs):
    one, two = runs["rank0of1"], runs["rank0of2"]
    # Four seeds of one process have a standard deviation of 0.3 %.
    assert two["elbo"] == pytest.approx(one["elbo"], rel=0.015)
    assert set(two["history"]) == set(one["history"])
    assert len(two["history"]["elbo_train"]) == 40
    # All cells are in the means: the reconstruction is that of half of them else.
    np.testing.assert_allclose(
        two["history"]["reconstruction_loss_train"][-1], one["history"]["reconstruction_loss_train"][-1], rtol=0.1
    )
