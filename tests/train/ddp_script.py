"""Trains on one CPU process and then on two, writes history and held-out ELBO of each; run by `test_ddp.py`.

Lightning starts the second process by running this file again, which then does not repeat the first training.
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

from scgauge.model import CountVI


def main(n_processes: int, folder: Path) -> None:
    scvi.settings.seed = 0
    cells = make_cells(n_obs=400)
    CountVI.setup_anndata(cells, **SETUP)
    model = CountVI(cells, **NETWORK)
    # The split is drawn in each process: without a seed of scvi-tools the processes must still agree on it.
    scvi.settings._seed = None
    together = {"strategy": "ddp", "devices": n_processes} if n_processes > 1 else {"devices": 1}
    model.train(
        max_epochs=60,
        accelerator="cpu",
        batch_size=64 // n_processes,
        train_size=0.8,
        plan_kwargs={"lr": 0.01},
        # Nothing is ever as much better as this asks: training stops after the first epoch and 39 more.
        early_stopping=True,
        early_stopping_min_delta=1e9,
        early_stopping_patience=39,
        enable_progress_bar=False,
        default_root_dir=str(folder),
        **together,
    )
    rank = torch.distributed.get_rank() if n_processes > 1 else 0
    history = {key: table[key].astype(float).tolist() for key, table in model.history.items()}
    weights = float(sum(parameter.double().abs().sum() for parameter in model.module.parameters()))
    indices = np.sort(model.validation_indices).tolist()
    stops = [callback.stopped_epoch for callback in model.trainer.early_stopping_callbacks]
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        elbo = float(np.mean([float(model.get_elbo()) for _ in range(5)]))
    record = {"history": history, "weights": weights, "validation": indices, "elbo": elbo, "stops": stops}
    (folder / f"rank{rank}of{n_processes}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if "LOCAL_RANK" not in os.environ:
        main(1, Path(sys.argv[1]))
    main(2, Path(sys.argv[1]))
