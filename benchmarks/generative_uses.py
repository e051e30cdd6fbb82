"""Imputation scored on held-out molecules, and synthetic cells of a rare type for a classifier, on real cells.

Run with

    python benchmarks/generative_uses.py --out results.json [--figures folder]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import scanpy as sc
import scvi

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge.model import CountVI


def fit(adata: AnnData, seed: int, max_epochs: int = 200) -> CountVI:
    scvi.settings.seed = seed
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, gene_likelihood="nb")
    model.train(max_epochs=max_epochs, enable_progress_bar=False)
    return model


def blood(seed: int) -> AnnData:
    """2000 cells x 200 genes of the 10x PBMC of scVI.jl."""
    adata = scgauge.datasets.pbmc_scvijl()
    adata = adata[adata.obs["cell_type"].notna()].copy()
    sc.pp.filter_cells(adata, min_counts=20)
    sc.pp.sample(adata, n=2000, rng=seed)
    return adata


def imputation() -> pd.DataFrame:
    tables = []
    for name, make in (
        ("pbmc68k 700 x 765", lambda seed: scgauge.datasets.pbmc68k_counts()),
        ("blood 2000 x 200", blood),
    ):
        for seed in range(2):
            table = scgauge.tl.imputation_score(make(seed), fit=fit, rng=seed, progress=False)
            tables.append(table.assign(cells=name, seed=seed))
            print(
                name, seed, table.pivot_table(index="method", columns="statistic", values="value"), sep="\n", flush=True
            )
    return pd.concat(tables, ignore_index=True)


def augmentation(n_repeats: int) -> pd.DataFrame:
    adata = blood(0)
    counts = adata.obs["cell_type"].value_counts()
    tables = []
    for label in counts[(counts > 60) & (counts < 400)].index[:2]:
        table = scgauge.tl.augmentation_gain(
            adata, fit=lambda cells, seed: fit(cells, seed, 100), labels_key="cell_type", label=label, sizes=(5, 20),
            n_added=100, n_repeats=n_repeats, rng=0, progress=False,
        )  # fmt: skip
        tables.append(table.assign(label=label))
        wide = table.pivot_table(
            index=["n_kept", "added"], columns="statistic", values="value", aggfunc=["mean", "std"]
        )
        print(label, counts[label], wide.to_string(), sep="\n", flush=True)
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-repeats", type=int, default=3)
    parser.add_argument("--figures", type=Path)
    arguments = parser.parse_args()
    results = {"imputation": imputation(), "augmentation": augmentation(arguments.n_repeats)}
    if arguments.figures:
        first = results["imputation"].query("seed == 0 and cells == 'pbmc68k 700 x 765'")
        scgauge.pl.imputation_score(first, show=False, return_fig=True).savefig(arguments.figures / "imputation.png")
        gains = results["augmentation"]
        one = gains[gains["label"] == gains["label"].iloc[0]]
        scgauge.pl.augmentation_gain(one, show=False, return_fig=True).savefig(arguments.figures / "augmentation.png")
    records = {name: table.to_dict("records") for name, table in results.items()}
    arguments.out.write_text(json.dumps(records, indent=1, default=float))


if __name__ == "__main__":
    main()
