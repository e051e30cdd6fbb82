"""Models saved with another version of scvi-tools give the same here, and those saved here give the same there."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from faults.exchanged_models import ASKED, read_models, save_models
from faults.model_calls import RECIPES

#: Interpreter that has scgauge and another version of scvi-tools.
OTHER = os.environ.get("SCGAUGE_OTHER_PYTHON")


def differing(expected, found):
    """Answers of models that are not those that were saved beside them, with the largest difference."""
    differences = {}
    for name in ASKED:
        with np.load(expected / f"{name}.npz") as one, np.load(found / f"{name}.npz") as other:
            assert set(one) == set(other)
            assert len(one) >= 1 + len(ASKED[name])
            for key in one:
                assert one[key].shape == other[key].shape
                assert one[key].std() > 0
                if not np.allclose(one[key], other[key], rtol=1e-5, atol=1e-6):
                    differences[name, key] = float(np.abs(one[key] - other[key]).max())
    return differences


def test_all_models_are_exchanged():
    assert set(ASKED) == set(RECIPES)


@pytest.mark.skipif(OTHER is None, reason="needs SCGAUGE_OTHER_PYTHON, a Python with scgauge and another scvi-tools")
def test_models_give_the_same_on_both_stacks(tmp_path):
    ours, theirs, read = tmp_path / "ours", tmp_path / "theirs", tmp_path / "read"
    ours.mkdir(), read.mkdir()
    save_models(ours)
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "src")])}
    command = [OTHER, "-m", "faults.exchanged_models", str(ours), str(theirs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert differing(ours, theirs / "read") == {}
    read_models(theirs, read)
    assert differing(theirs, read) == {}
