"""Which model draws cells like real ones: CountVI, LinearVI, SCVI, LinearSCVI, a Poisson model, independent genes.

Every model gets the same training cells (70 %) of public data, is scored by tl.synthetic_quality against the same cells
held out (30 %), and draws as many cells as it was trained on from its prior and from its aggregate posterior. Run with

    SCGAUGE_DATA_DIR=... python benchmarks/synthetic_ranking.py --datasets pbmc_facs --seeds 3 --out ranking.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scvi
import torch
from anndata import AnnData
from scipy import sparse

import scgauge
from scgauge.train import warmup_epochs


def load(name: str, n_top_genes: int) -> AnnData:
    """Cells of a public data set with its most variable genes; of tasic2016, normalised by size, nearest integers."""
    adata = getattr(scgauge.datasets, name)()
    if name == "tasic2016":
        adata.X = sparse.csr_matrix(np.rint(adata.X).astype(np.float32))
    if adata.n_vars > n_top_genes:
        scgauge.pp.hvg_counts(adata, n_top_genes=n_top_genes)
        adata = adata[:, adata.var["highly_variable"]].copy()
    return adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()


MODELS: dict[str, tuple[type, dict]] = {
    "CountVI nb": (scgauge.model.CountVI, {"gene_likelihood": "nb"}),
    "CountVI poisson": (scgauge.model.CountVI, {"gene_likelihood": "poisson"}),
    "LinearVI nb": (scgauge.model.LinearVI, {"gene_likelihood": "nb"}),
    "SCVI nb": (scvi.model.SCVI, {"gene_likelihood": "nb"}),
    "LinearSCVI nb": (scvi.model.LinearSCVI, {"gene_likelihood": "nb", "use_observed_lib_size": True}),
}


def draw(model_class: type, arguments: dict, train: AnnData, seed: int, epochs: int) -> dict[str, AnnData]:
    """Cells from the prior and from the aggregate posterior of a model trained on all training cells."""
    scvi.settings.seed = seed
    cells = train.copy()
    model_class.setup_anndata(cells)
    model = model_class(cells, **arguments)
    model.train(
        max_epochs=epochs,
        train_size=1.0,
        plan_kwargs={"n_epochs_kl_warmup": warmup_epochs(epochs)},
        enable_progress_bar=False,
        logger=None,
    )
    sources = ("prior", "aggregate")
    return {name: scgauge.tl.sample(model, train.n_obs, source=name, rng=seed, progress=False) for name in sources}


def copies(train: AnnData, seed: int) -> dict[str, AnnData]:
    found = {
        "independent genes": scgauge.metrics.independent_copy(train.X, rng=seed + 100),
        "Poisson model": scgauge.metrics.poisson_copy(train.X, rng=seed + 100),
    }
    return {name: AnnData(x, var=train.var[[]]) for name, x in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["pbmc_facs", "hemato_tusi2018", "tasic2016"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--n-top-genes", type=int, default=500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path, help="folder for the scoreboards of the first seed")
    arguments = parser.parse_args()
    if arguments.figure:
        arguments.figure.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    rows, details = [], []
    for name in arguments.datasets:
        adata = load(name, arguments.n_top_genes)
        for seed in range(arguments.seeds):
            order = np.random.default_rng(seed).permutation(adata.n_obs)
            n_train = int(0.7 * adata.n_obs)
            train, held_out = adata[order[:n_train]].copy(), adata[order[n_train:]].copy()
            start = time.perf_counter()
            sets = {}
            for label in arguments.models:
                model_class, options = MODELS[label]
                drawn = draw(model_class, options, train, seed, arguments.epochs)
                sets |= {f"{label}, {source}": cells for source, cells in drawn.items()}
            sets |= copies(train, seed)
            for label, cells in sets.items():
                scgauge.tl.synthetic_quality(train, cells, holdout=held_out, rng=seed, progress=False)
                result = cells.uns["synthetic_quality"]
                means = result["overall"].set_index("family")["scaled"].round(4).to_dict()
                rows.append(
                    {"dataset": name, "cells": adata.n_obs, "genes": adata.n_vars, "seed": seed, "model": label} | means
                )
                details.append(result["scores"].assign(dataset=name, seed=seed, model=label))
                print(rows[-1], flush=True)
            print(f"{time.perf_counter() - start:.0f} s", flush=True)
            if arguments.figure and seed == 0:
                figure = scgauge.pl.synthetic_quality(sets, return_fig=True)
                figure.savefig(arguments.figure / f"scoreboard_{name}.png", dpi=100)
    table = pd.DataFrame(rows)
    families = ["genes", "cells", "pairs", "joint", "all"]
    print(table.groupby(["dataset", "model"])[families].agg(["mean", "std"]).round(3).to_string())
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        options = vars(arguments) | {"out": None, "figure": None}
        record = {"arguments": options, "versions": versions, "machine": platform.platform(), "rows": rows}
        record["scores"] = json.loads(pd.concat(details).to_json(orient="records"))
        arguments.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
