"""Trains a model on one CPU process and then on several, writes history and held-out loss of each; see `test_ddp.py`.

Lightning starts the other processes by running this file again, which then does not repeat the first training.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import scvi
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from cells import NETWORK, SETUP, make_cells

import scgauge

#: Set-up, network and training of each model, beside what all share.
OWN = {
    "CountVI": (SETUP, {}, {}),
    "LinearVI": (SETUP, {}, {}),
    "ODEVI": (SETUP | {"time_key": "time"}, {}, {"n_flow_steps": 200, "joint_share": 0.25}),
    "ODEVI groups": (SETUP | {"time_key": "time"}, {"n_groups": 2}, {"n_flow_steps": 200, "joint_share": 0.25}),
    "Autoencoder": ({}, {"sparsity": 1e-3, "noise": "masking"}, {}),
    "BayesianLinearVI": (SETUP, {}, {}),
    "SupervisedVI": ({}, {"basis": "X_picture", "n_latent": 2}, {}),
}
#: Cells of which two processes that share the training cells get 161 each and four 81, one more than whole minibatches:
#: they leave it out, and so does one process with its last two, whose batch norm would be another.
N_CELLS = 402


def cells_for(name: str):
    cells = make_cells("normal" if name == "Autoencoder" else "counts", n_obs=N_CELLS)
    cells.obs["time"] = np.arange(N_CELLS) % 3 * 1.0
    cells.obsm["X_picture"] = np.random.default_rng(0).normal(size=(N_CELLS, 2))
    return cells


def main(name: str, n_processes: int, folder: Path) -> None:
    setup, network, plan = OWN[name]
    scvi.settings.seed = 0
    cells = cells_for(name)
    model_class = getattr(scgauge.model, name.split()[0])
    model_class.setup_anndata(cells, **setup)
    model = model_class(cells, **NETWORK | network)
    # The split is drawn in each process: without a seed of scvi-tools the processes must still agree on it.
    scvi.settings._seed = None
    together = {"strategy": "ddp", "devices": n_processes} if n_processes > 1 else {"devices": 1}
    more = {"n_epochs_encoder": 20} if name == "SupervisedVI" else {}
    if n_processes == 1:
        more["datasplitter_kwargs"] = {"drop_last": True}
    model.train(
        max_epochs=60,
        accelerator="cpu",
        batch_size=64 // n_processes,
        train_size=0.8,
        plan_kwargs={"lr": 0.01} | plan,
        # Nothing is ever as much better as this asks: training stops after the first epoch and 39 more.
        early_stopping=True,
        early_stopping_min_delta=1e9,
        early_stopping_patience=39,
        enable_progress_bar=False,
        default_root_dir=str(folder),
        **together,
        **more,
    )
    rank = torch.distributed.get_rank() if n_processes > 1 else 0
    weights = float(sum(parameter.double().abs().sum() for parameter in model.module.parameters()))
    record = {
        "history": {key: table[key].astype(float).tolist() for key, table in model.history.items()},
        "weights": weights,
        "validation": np.sort(model.validation_indices).tolist(),
        "elbo": held_out(model),
        "stops": [callback.stopped_epoch for callback in model.trainer.early_stopping_callbacks],
    }
    (folder / f"rank{rank}of{n_processes}.json").write_text(json.dumps(record))


def held_out(model) -> float:
    """ELBO of all cells, or of an autoencoder its error; how far forecasts of a time series are is in the weights."""
    if not hasattr(model, "get_elbo"):
        return float(model.get_reconstruction_error())
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return float(np.mean([float(model.get_elbo()) for _ in range(5)]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder, name, n_processes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if "LOCAL_RANK" not in os.environ:
        main(name, 1, folder)
    main(name, n_processes, folder)
