"""CountVI against scvi-tools' SCVI on public PBMC data: held-out ELBO and agreement with the given cell types.

Both models get the same cells, split, seed, epochs and KL warm-up, in one run and in alternation. Run with

    SCGAUGE_DATA_DIR=... python benchmarks/countvi_vs_scvi.py --seeds 5 --out results.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scvi
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import scgauge
from scgauge.train import warmup_epochs

if TYPE_CHECKING:
    from anndata import AnnData

#: Draws of the latent points over which the held-out ELBO is averaged.
N_DRAWS = 20


def load_counts(name: str, n_top_genes: int) -> tuple[AnnData, pd.Series]:
    """Return counts and given types; pbmc_facs with its most variable genes, pbmc_scvijl with all of its 200."""
    adata = getattr(scgauge.datasets, name)()
    key = next(key for key in ("cell_type", "celltype") if key in adata.obs)
    adata = adata[adata.obs[key].notna()].copy()
    if adata.n_vars > n_top_genes:
        scgauge.pp.hvg_counts(adata, n_top_genes=n_top_genes)
        adata = adata[:, adata.var["highly_variable"]].copy()
    enough = np.asarray(adata.X.sum(1)).ravel() > 0
    adata = adata[enough].copy()
    return adata, adata.obs[key].astype(str)


def fit(model_class: type, adata: AnnData, seed: int, epochs: int, likelihood: str) -> dict[str, float]:
    scvi.settings.seed = seed
    model_class.setup_anndata(adata)
    model = model_class(adata, gene_likelihood=likelihood)
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    n_held_out = adata.n_obs // 10
    held_out, training = order[:n_held_out], order[n_held_out:]
    start = time.perf_counter()
    model.train(
        max_epochs=epochs,
        datasplitter_kwargs={"external_indexing": [training, held_out, np.array([], dtype=int)]},
        plan_kwargs={"n_epochs_kl_warmup": warmup_epochs(epochs)},
        enable_progress_bar=False,
        logger=None,
    )
    seconds = time.perf_counter() - start
    with torch.random.fork_rng():
        elbo = np.mean([float(model.get_elbo(indices=held_out)) for _ in range(N_DRAWS)])
    return {"elbo": float(elbo), "seconds": seconds, "latent": model.get_latent_representation()}


def score(latent: np.ndarray, types: pd.Series, seed: int) -> dict[str, float]:
    clusters = KMeans(types.nunique(), n_init=10, random_state=seed).fit_predict(latent)
    return {
        "ari": adjusted_rand_score(types, clusters),
        "nmi": normalized_mutual_info_score(types, clusters),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["pbmc_scvijl", "pbmc_facs"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--n-top-genes", type=int, default=2000)
    parser.add_argument("--likelihood", default="zinb")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    for name in arguments.datasets:
        adata, types = load_counts(name, arguments.n_top_genes)
        for seed in range(arguments.seeds):
            for model_class in (scvi.model.SCVI, scgauge.model.CountVI):
                result = fit(model_class, adata.copy(), seed, arguments.epochs, arguments.likelihood)
                row = {"dataset": name, "cells": adata.n_obs, "genes": adata.n_vars, "seed": seed}
                row |= {"model": model_class.__name__} | score(result.pop("latent"), types, seed) | result
                rows.append(row)
                print(row, flush=True)
    table = pd.DataFrame(rows)
    summary = table.groupby(["dataset", "model"])[["elbo", "ari", "nmi", "seconds"]].agg(["mean", "std", "min", "max"])
    print(summary.to_string())
    wide = table.pivot_table(index=["dataset", "seed"], columns="model", values="elbo")
    gain = 100 * (wide["CountVI"] - wide["SCVI"]) / wide["SCVI"].abs()
    print("ELBO of CountVI above that of SCVI, in %\n", gain.to_string())
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        record = {"arguments": vars(arguments) | {"out": None}, "versions": versions, "machine": platform.platform()}
        arguments.out.write_text(json.dumps(record | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
