"""Genes of cortical neurons by four explanations: VAE + integrated gradients, LDVAE, log-linear patterns, markers.

    SCGAUGE_DATA_DIR=... python benchmarks/workshop_genes.py --seeds 3 --out workshop.json --figure workshop.png

Data: tasic2016, 1,525 neurons x 180 genes, rounded to integers. VAE: CountVI, LDVAE: LinearVI, both with the negative
binomial likelihood, ten latent dimensions and no labels. Patterns: eight genes from the prior of the VAE. Markers:
scanpy's t-test between cell types. The genes were written down before any result was looked at.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
import scvi
import torch

import scgauge

#: Names of neuron types in Tasic et al. 2016 and genes of layers. Ndnf and Lamp5 are not among the 180 genes: Reln is
#: the gene of the Ndnf type that is.
GENES = ["Pvalb", "Sst", "Vip", "Reln", "Htr3a", "Chodl", "Sncg", "Igtp", "Smad3", "Rorb", "Scnn1a", "Ctgf"]


def fitted(model_class: Any, cells: Any, seed: int, epochs: int) -> Any:
    scvi.settings.seed = seed
    adata = cells.copy()
    model_class.setup_anndata(adata)
    model = model_class(adata, gene_likelihood="nb", n_latent=10)
    plan = {"lr": 0.004, "n_epochs_kl_warmup": epochs // 2}
    model.train(epochs, plan_kwargs=plan, accelerator="cpu", enable_progress_bar=False)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    adata = scgauge.datasets.tasic2016()
    adata.X = np.rint(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X).astype(np.float32)
    patterns = []
    begin = time.perf_counter()
    for seed in range(arguments.seeds):
        vae = fitted(scgauge.model.CountVI, adata, seed, arguments.epochs)
        scgauge.tl.attribute(adata, vae, rng=seed, progress=False, key_added=f"ig_{seed}")
        patterns.append(scgauge.tl.log_linear_patterns(vae, n_genes=8, alpha=None, rng=seed, progress=False))
        print(seed, patterns[-1][["gene", "latent", "cmi"]].round(3).to_numpy().tolist(), flush=True)
        scgauge.tl.loadings(
            adata, fitted(scgauge.model.LinearVI, adata, seed, arguments.epochs), key_added=f"ld_{seed}"
        )
    logged = adata.copy()
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    logged.obs["cell_type"] = logged.obs["cell_type"].str.replace("/", "-").astype("category")
    sc.tl.rank_genes_groups(logged, "cell_type", method="t-test")
    adata.uns["markers"] = logged.uns["rank_genes_groups"]
    seeds = range(arguments.seeds)
    sources = {
        "VAE + IG": [f"ig_{seed}" for seed in seeds],
        "LDVAE": [f"ld_{seed}" for seed in seeds],
        "patterns": patterns,
        "markers": "markers",
    }
    scgauge.tl.compare_attributions(adata, sources=sources, n_top=[8, 20, 50], genes=GENES)
    found = adata.uns["compare_attributions"]
    print(found["pairs"].round(3).to_string())
    print(found["ranks"].pivot_table(index="gene", columns="method", values="best_rank", sort=False, dropna=False))
    print(found["shuffled"].groupby("run")["spearman"].mean(), f"{time.perf_counter() - begin:.0f} s")
    if arguments.figure:
        figure = scgauge.pl.compare_attributions(adata, statistic="overlap", n_top=20, show=False, return_fig=True)
        figure.savefig(arguments.figure, dpi=100)
        plt.close(figure)
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        tables = {name: found[name].to_dict("records") for name in ("pairs", "ranks", "shuffled")}
        record = {"versions": versions, "machine": platform.platform(), "epochs": arguments.epochs}
        arguments.out.write_text(json.dumps(record | tables, indent=1))


if __name__ == "__main__":
    main()
