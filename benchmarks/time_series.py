"""ODEVI against simple predictions, optimal transport and other methods on times that were held out.

The genes are chosen, the components fitted and the models trained on the training times alone. Run with

    SCGAUGE_DATA_DIR=... python benchmarks/time_series.py --out results.json

or on any data with counts and a numeric time: ``--data FILE.h5ad --time-key day --hold-out 2 4``. OT-CFM and moscot
are run by ``--peer-python``, an interpreter that has torchcfm and moscot (scgauge is not needed there); they get the
components of the training cells.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd

import scgauge
from scgauge.metrics import energy_distance, wasserstein_distance
from scgauge.tl._held_out_scores import Space

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
#: Cells that each method predicts at a time.
N_CELLS = 2000


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
        adata, fit, time_key=time_key, times=held, together=True, n_cells=N_CELLS, rng=seed, progress=False
    )
    return adata.uns["held_out_time"]["scores"], seconds


def peers(adata: AnnData, held: list[float], seed: int, time_key: str, python: str) -> pd.DataFrame:
    """Scores of what other methods predict from the components of the training cells."""
    own = adata.obs[time_key].to_numpy(float)
    training = ~np.isin(own, held)
    space = Space.of(adata.X[training], counts=True)
    points = space.project(space.expression(adata.X))
    with TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("training.npz", "predicted.npz")]
        given = {"points": points[training], "times": own[training], "held": held, "n_cells": N_CELLS, "seed": seed}
        np.savez(files[0], **given)
        script = Path(__file__).with_name("time_series_peers.py")
        subprocess.run([python, "-W", "ignore", script, *files], check=True)
        predicted = dict(np.load(files[1]))
    rows = []
    for name, cells in predicted.items():
        method, n_dims, at = name.split("/")
        real = points[own == float(at), : int(n_dims)]
        rows += [
            (float(at), method, f"pca{n_dims}", "wasserstein", wasserstein_distance(cells, real)),
            (float(at), method, f"pca{n_dims}", "energy", energy_distance(cells, real, estimator="v")),
        ]
    return pd.DataFrame(rows, columns=["time", "method", "space", "statistic", "value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--peer-python", default=sys.executable)
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
    for seed in arguments.seeds:
        for name, (source, held) in tasks.items():
            whole = anndata.read_h5ad(source) if arguments.data is not None else load(source)
            adata = choose_genes(whole, held, arguments.time_key, arguments.n_top_genes)
            table, seconds = run(adata, held, seed, arguments.time_key, arguments.epochs)
            others = peers(adata, held, seed, arguments.time_key, arguments.peer_python)
            table = pd.concat([table, others])
            parts.append(table.assign(task=name, seed=seed, seconds=seconds))
            shown = table[(table["space"] == "pca5") & (table["statistic"] == "wasserstein")]
            print(name, seed, f"{seconds:.0f} s", flush=True)
            print(shown.pivot_table(index="method", columns="time", values="value").round(3).to_string(), flush=True)
            found = {"machine": platform.platform(), "scgauge": scgauge.__version__, "epochs": arguments.epochs}
            rows = pd.concat(parts).to_dict(orient="records")
            arguments.out.write_text(json.dumps(found | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
