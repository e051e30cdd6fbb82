"""ODEVI against simple predictions and optimal transport on times that were held out.

The genes are chosen, the components fitted and the model trained on the training times alone. Run with

    SCGAUGE_DATA_DIR=... python benchmarks/time_series.py --seeds 5 --out results.json

or on any data with counts and a numeric time: ``--data FILE.h5ad --time-key day --hold-out 2 4``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

#: Names of the authors' bins of the worm's embryo time, in minutes.
WORM_BINS = (240.0, 300.0, 360.0, 420.0, 480.0, 545.0, 615.0, 715.0)
TASKS = {
    "worm interpolation": ("worm_embryo", [360.0, 480.0, 615.0]),
    "worm forecast": ("worm_embryo", [615.0, 715.0]),
    "Klein day 2": ("klein2015_subset", [2.0]),
    "Klein day 4": ("klein2015_subset", [4.0]),
    "Klein day 7": ("klein2015_subset", [7.0]),
}


def load(name: str) -> AnnData:
    adata = getattr(scgauge.datasets, name)()
    if name == "worm_embryo":
        adata.obs["time"] = np.array(WORM_BINS)[adata.obs["time_bin"].cat.codes]
    return adata


def choose_genes(adata: AnnData, held: list[float], time_key: str, n_top_genes: int) -> AnnData:
    """Keep the most variable genes of the training times, and cells with a count in them."""
    training = adata[~adata.obs[time_key].isin(held)].copy()
    if adata.n_vars > n_top_genes:
        scgauge.pp.hvg_counts(training, n_top_genes=n_top_genes)
        adata = adata[:, training.var["highly_variable"].to_numpy()]
    return adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()


def run(adata: AnnData, held: list[float], seed: int, time_key: str, epochs: int | None) -> tuple[pd.DataFrame, float]:
    seconds = 0.0

    def fit(cells: AnnData, seed: int) -> scgauge.model.ODEVI:
        nonlocal seconds
        scgauge.model.ODEVI.setup_anndata(cells, time_key=time_key)
        model = scgauge.model.ODEVI(cells)
        start = time.perf_counter()
        model.train(max_epochs=epochs, train_size=1.0, enable_progress_bar=False, logger=None)
        seconds = time.perf_counter() - start
        return model

    scgauge.tl.held_out_time(
        adata, fit, time_key=time_key, times=held, together=True, rng=seed, progress=False, key_added="scores"
    )
    return adata.uns["scores"]["scores"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--n-top-genes", type=int, default=2000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--time-key", default="time")
    parser.add_argument("--hold-out", type=float, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("time_series.json"))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
    warnings.filterwarnings("ignore", message="A time lies", category=UserWarning)
    tasks = {name: TASKS[name] for name in arguments.tasks}
    if arguments.data is not None:
        tasks = {arguments.data.stem: (str(arguments.data), arguments.hold_out)}
    parts = []
    for seed in range(arguments.seeds):
        for name, (source, held) in tasks.items():
            whole = anndata.read_h5ad(source) if arguments.data is not None else load(source)
            adata = choose_genes(whole, held, arguments.time_key, arguments.n_top_genes)
            table, seconds = run(adata, held, seed, arguments.time_key, arguments.epochs)
            parts.append(table.assign(task=name, seed=seed, seconds=seconds))
            shown = table[(table["space"] == "pca5") & (table["statistic"] == "wasserstein")]
            print(name, seed, f"{seconds:.0f} s", flush=True)
            print(shown.pivot_table(index="method", columns="time", values="value").round(3).to_string(), flush=True)
            found = {"machine": platform.platform(), "scgauge": scgauge.__version__, "epochs": arguments.epochs}
            rows = pd.concat(parts).to_dict(orient="records")
            arguments.out.write_text(json.dumps(found | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
