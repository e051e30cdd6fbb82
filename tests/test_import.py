"""What `import scgauge` does to a fresh interpreter: nothing beyond what `import scvi.model` has done already."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import scgauge

PROBE = """
import json, logging, os, random, sys, warnings
import numpy as np, torch
import matplotlib, scvi, scvi.model

def state():
    loggers = logging.root.manager.loggerDict.items()
    # Read without matplotlib's getter, which chooses a backend.
    parameters = {key: str(dict.__getitem__(matplotlib.rcParams, key)) for key in dict.keys(matplotlib.rcParams)}
    return {
        "random": hash(random.getstate()),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "torch settings": [torch.get_num_threads(), str(torch.get_default_dtype())],
        "scvi seed": scvi.settings.seed,
        "warning filters": [str(f) for f in warnings.filters],
        "handlers": {name: n for name, log in loggers if (n := len(getattr(log, "handlers", [])))},
        "root handlers": len(logging.root.handlers),
        "environment": dict(os.environ),
        "matplotlib": parameters,
        "float errors": np.geterr(),
        "hooks": [str(sys.excepthook), str(warnings.showwarning), str(sys.displayhook)],
    }

before, modules = state(), set(sys.modules)
for stream in (sys.stdout, sys.stderr):
    print("-- import scgauge", file=stream)
import scgauge
print("-- done")
new = sorted(set(sys.modules) - modules)
after = state()
print(json.dumps({"new": new, "changed": [part for part in before if after[part] != before[part]]}))
"""


@pytest.fixture(scope="module")
def probe():
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=300)
    return run, json.loads(run.stdout.splitlines()[-1])


def test_nothing_is_loaded_that_scvi_has_not_loaded(probe):
    _, found = probe
    others = [name for name in found["new"] if name.partition(".")[0] not in {"scgauge", *sys.stdlib_module_names}]
    assert others == []


def test_no_global_state_changes(probe):
    _, found = probe
    assert found["changed"] == []


def test_nothing_is_printed_and_nothing_warns(probe):
    run, _ = probe
    assert "-- import scgauge\n-- done\n" in run.stdout
    assert run.stderr.partition("-- import scgauge\n")[2] == ""


def test_the_version_is_that_of_the_metadata():
    assert scgauge.__version__ == version("scgauge")
