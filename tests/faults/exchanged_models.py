"""Models for another installation, and what those of another give here; see `test_other_stack.py` of the models.

python -m faults.exchanged_models THEIRS OURS: answers of the models in THEIRS, and models with theirs, go to OURS.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from faults.model_calls import RECIPES, class_of, trained

#: What the models are asked beside latent points: getters that draw nothing, and their arguments.
_TIMES: dict[str, dict[str, Any]] = {"get_trajectories": {"times": [0.5, 1.0]}, "get_velocity": {}}
_LOADINGS: dict[str, dict[str, Any]] = {"get_loadings": {}}
ASKED: dict[str, dict[str, dict[str, Any]]] = {
    "CountVI": {},
    "LinearVI": _LOADINGS,
    "BayesianLinearVI": _LOADINGS,
    "ODEVI": _TIMES,
    "ODEVI of subjects": _TIMES,
    "Autoencoder": {"get_reconstruction": {}},
    "DeepBoltzmannMachine": {},
    "SupervisedVI": {"get_basis": {}},
}


def answers(name: str, model: Any) -> dict[str, np.ndarray]:
    """What a model says of the cells that were saved with it."""
    latent = model.get_latent_representation()
    found = {"latent": latent} | {key: np.asarray(getattr(model, key)(**kwargs)) for key, kwargs in ASKED[name].items()}
    if hasattr(model, "decode"):
        batch = {"batch": "one"} if "batch_key" in RECIPES[name].setup else {}
        found["expression"] = model.decode(latent, library_size=100.0, **batch)
    return found


def save_models(folder: Path) -> None:
    """Train a model of each kind; it is saved with its cells, and its answers beside it."""
    for name in ASKED:
        model = trained(name)
        model.save(folder / name, save_anndata=True)
        np.savez(folder / f"{name}.npz", **answers(name, model))


def read_models(folder: Path, destination: Path) -> None:
    """Load the models of a folder; their answers go to `destination`."""
    for name in ASKED:
        model = class_of(name).load(folder / name, accelerator="cpu")
        np.savez(destination / f"{name}.npz", **answers(name, model))


if __name__ == "__main__":
    # The tests see to warnings on both installations.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    theirs, ours = Path(sys.argv[1]), Path(sys.argv[2])
    (ours / "read").mkdir(parents=True)
    read_models(theirs, ours / "read")
    save_models(ours)
