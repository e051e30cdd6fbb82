"""Trains on as many CPU processes as asked for, and writes history and held-out ELBO; run by `test_ddp.py`."""

import json
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
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    scvi.settings.seed = 0
    cells = make_cells(n_obs=400)
    CountVI.setup_anndata(cells, **SETUP)
    model = CountVI(cells, **NETWORK)
    # The split is drawn in each process: without a seed of scvi-tools the processes must still agree on it.
    scvi.settings._seed = None
    together = {"strategy": "ddp", "devices": n_processes} if n_processes > 1 else {"devices": 1}
    model.train(
        max_epochs=40,
        accelerator="cpu",
        batch_size=64 // n_processes,
        train_size=0.8,
        plan_kwargs={"lr": 0.01},
        check_val_every_n_epoch=1,
        enable_progress_bar=False,
        default_root_dir=str(folder),
        **together,
    )
    rank = torch.distributed.get_rank() if n_processes > 1 else 0
    history = {key: table[key].astype(float).tolist() for key, table in model.history.items()}
    weights = float(sum(parameter.double().abs().sum() for parameter in model.module.parameters()))
    indices = np.sort(model.validation_indices).tolist()
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        elbo = float(np.mean([float(model.get_elbo()) for _ in range(5)]))
    record = {"history": history, "weights": weights, "validation": indices, "elbo": elbo}
    (folder / f"rank{rank}of{n_processes}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
