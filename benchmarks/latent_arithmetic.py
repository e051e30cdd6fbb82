"""Response of CD4 T cells to interferon, predicted from the other cell types, over seeds.

Run with

    python benchmarks/latent_arithmetic.py --out results.json [--seeds 0 1 2] [--figure scgen.png]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import scanpy as sc
import scvi

import scgauge

NAMES = {"condition_key": "condition", "labels_key": "cell_type", "control": "control", "treated": "stimulated"}
#: Settings of scGen in CountVI's words (normal), and CountVI's own likelihood of counts.
NETWORKS = {
    "nb": {"n_latent": 10, "n_hidden": 128, "gene_likelihood": "nb"},
    "normal": {"n_latent": 100, "n_hidden": 800, "n_layers": 2, "dropout_rate": 0.2, "gene_likelihood": "normal"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--label", default="CD4T")
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--n-genes", type=int, default=2000)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    counts = scgauge.datasets.scgen_kang()
    sc.pp.filter_genes(counts, min_cells=5)
    scgauge.pp.hvg_counts(counts, n_top_genes=arguments.n_genes)
    counts = counts[:, counts.var["highly_variable"]].copy()
    logged = counts.copy()
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    out = (counts.obs["condition"] == "stimulated") & (counts.obs["cell_type"] == arguments.label)
    tables = []
    for network in arguments.networks:
        adata = logged if network == "normal" else counts
        for seed in arguments.seeds:
            known = adata[~out].copy()
            scvi.settings.seed = seed
            scgauge.model.CountVI.setup_anndata(known)
            model = scgauge.model.CountVI(known, **NETWORKS[network])
            model.train(max_epochs=arguments.max_epochs, enable_progress_bar=False)
            predicted = scgauge.tl.latent_arithmetic(adata, model, **NAMES, label=arguments.label, rng=seed)
            scores = predicted.uns["latent_arithmetic"]["scores"]
            tables.append(scores.assign(network=network, seed=seed))
            print(network, seed, scores.pivot_table(index="method", columns="statistic", values="value"), flush=True)
            if arguments.figure and seed == 0:
                figure = scgauge.pl.latent_arithmetic(predicted, show=False, return_fig=True)
                figure.savefig(arguments.figure.with_stem(f"{arguments.figure.stem}_{network}"), dpi=90)
    table = pd.concat(tables, ignore_index=True)
    arguments.out.write_text(json.dumps(table.to_dict("records"), indent=1))


if __name__ == "__main__":
    main()
