"""Does a graph of genes know more about cells than random graphs? Purified blood cells, several graphs.

Run with

    python benchmarks/single_gene_inference.py --out results.json [--n-genes 200] [--figure figure.png]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import scanpy as sc

import scgauge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-genes", type=int, default=200)
    parser.add_argument("--n-random", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--graphs", nargs="+", help="some of the graphs, by name; all by default")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    adata = scgauge.datasets.pbmc_facs()
    sc.pp.filter_genes(adata, min_cells=150)
    edges = scgauge.datasets.dorothea("human")
    graphs = {
        "DoRothEA A-C": edges[edges["confidence"].isin(list("ABC"))][["tf", "target"]],
        "DoRothEA A": edges[edges["confidence"] == "A"][["tf", "target"]],
        # All genes of a set are neighbours.
        "hallmark sets": scgauge.datasets.gene_sets("hallmark"),
    }
    rows = []
    for name in arguments.graphs or graphs:
        graph = graphs[name]
        for seed in range(arguments.seeds):
            start = time.perf_counter()
            table = scgauge.tl.single_gene_inference(
                adata, graph=graph, n_genes=arguments.n_genes, n_random=arguments.n_random, rng=seed, progress=False
            )
            row = {
                "graph": name,
                "seed": seed,
                "n_genes": len(table),
                "median_neighbors": float(table["n_neighbors"].median()),
                **{f"auc_{column}": float(table[column].mean()) for column in ("graph", "random", "all_genes")},
                "difference": float(table["difference"].mean()),
                "se": float(table["difference"].std() / np.sqrt(len(table))),
                "better": float((table["difference"] > 0).mean()),
                "p_below_0.05": float((table["pvalue"] <= 0.05).mean()),
                "padj_below_0.05": float((table["padj"] <= 0.05).mean()),
                "seconds": time.perf_counter() - start,
            }
            rows.append(row)
            print(row, table.nlargest(6, "difference")[["gene", "n_neighbors", "graph", "random"]], flush=True)
            if arguments.figure and seed == 0 and name == "DoRothEA A-C":
                figure = scgauge.pl.single_gene_inference(table, show=False, return_fig=True)
                figure.savefig(arguments.figure, dpi=90)
    arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
