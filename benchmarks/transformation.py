"""Which embeddings show a known transformation: PCA, t-SNE, UMAP, VAE and LDVAE under rotation and spreading.

The experiment of Hackenberg et al. (2025, bbaf287) on two of its data sets, with numbers. For each seed a 2-D CountVI
is trained, one group of cells is rotated or spread in three steps, all cells are decoded to counts and embedded again;
the same without any change is the null. Run with

    python benchmarks/transformation.py --seeds 5 --out results.json --figure figure.png

Runs that the file has already are kept, so that an interrupted study goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scvi

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

#: Three steps of these are 60 degrees, and a factor of 2.2.
CHANGES = {"rotation": {"rotate": 20.0}, "spreading": {"spread": 1.3}}
METHODS = ["pca", "tsne", "umap", "vae", "ldvae"]
GROUPS = {"zeisel2015_descend": "interneurons", "pbmc_scvijl": "Monocytes"}
#: Few cells make few steps, which are larger for that.
PLAN = {"lr": 4e-3}
METRICS = ["angle_error", "log_scale_error", "skill", "leakage", "energy_profile_error"]


def cells_of(name: str, n_cells: int, seed: int) -> AnnData:
    """Random cells of the groups with at least 100, and the most variable genes."""
    adata = getattr(scgauge.datasets, name)()
    sizes = adata.obs["cell_type"].value_counts()
    adata = adata[adata.obs["cell_type"].isin(sizes.index[sizes >= 100])].copy()
    rows = np.random.default_rng(seed).permutation(adata.n_obs)[:n_cells]
    adata = adata[np.sort(rows)].copy()
    if adata.n_vars > 300:
        scgauge.pp.hvg_counts(adata, n_top_genes=300)
        adata = adata[:, adata.var["highly_variable"]].copy()
    adata = adata[:, np.asarray((adata.X > 0).sum(axis=0)).ravel() >= 3].copy()
    return adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()


def model_of(adata: AnnData, seed: int, epochs: int) -> scgauge.model.CountVI:
    scvi.settings.seed = seed
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, gene_likelihood="nb")
    # the cells of one time make fewer steps an epoch than those of four
    model.train(max_epochs=4 * epochs, plan_kwargs=PLAN, enable_progress_bar=False)
    return model


def study(name: str, seed: int, args: argparse.Namespace) -> list[dict]:
    adata = cells_of(name, args.cells, seed)
    model = model_of(adata, seed, args.epochs)
    scores = []
    for number, (change, step) in enumerate(CHANGES.items()):
        moved = scgauge.tl.transform_latent(
            adata, model, groupby="cell_type", transformations={GROUPS[name]: step}, rng=seed, progress=False
        )
        scgauge.tl.transformation_recovery(
            moved,
            methods=METHODS,
            n_seeds=1,
            null=number == 0,  # cells that do not move are the same for both
            n_pcs=30,
            options={
                key: {"max_epochs": args.epochs, "plan_kwargs": PLAN, "gene_likelihood": "nb"}
                for key in ("vae", "ldvae")
            },
            rng=seed,
            progress=False,
        )
        if args.figure and seed == 0:
            figure = scgauge.pl.transformation(moved, show=False, return_fig=True)
            path = args.figure.with_stem(f"{args.figure.stem}_{name}_{change}")
            figure.savefig(path, dpi=90)
        table = moved.uns["transformation_recovery"]["scores"]
        table = table[table["time"].isin([0, 3]) & table["metric"].isin([*METRICS, "r2"])]
        kinds = np.where(table["data"] == "identity", "identity", change)
        scores += table.assign(dataset=name, change=kinds, seed=seed).drop(columns="data").to_dict("records")
    return scores


def summary(scores: pd.DataFrame) -> str:
    """Mean and standard deviation over seeds at the last time."""
    rows = scores.groupby(["dataset", "change", "method", "metric"], sort=False)["value"].agg(["mean", "std", "count"])
    rows["text"] = [f"{r['mean']:.2f} ± {r['std']:.2f} ({int(r['count'])})" for _, r in rows.iterrows()]
    return rows["text"].unstack("metric").to_string()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--datasets", nargs="+", default=list(GROUPS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    scores = json.loads(args.out.read_text()) if args.out.exists() else []
    for seed in range(args.seeds):
        for name in args.datasets:
            if any(row["dataset"] == name and row["seed"] == seed for row in scores):
                continue
            start = time.perf_counter()
            scores += study(name, seed, args)
            args.out.write_text(json.dumps(scores, indent=1))
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    print(summary(pd.DataFrame(scores)))


if __name__ == "__main__":
    main()
