"""Autoencoders on blood cells: exact zeros, lost entries, training size, samples beside CountVI, diet networks.

python benchmarks/autoencoders.py --seeds 5 --out autoencoders.json
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from sklearn.decomposition import PCA

import scgauge
from scgauge.model import Autoencoder, CountVI

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

DROPOUT = 0.3


def blood(n_genes: int = 500) -> AnnData:
    """Counts in a layer, log-normalised data in X, the most variable genes."""
    adata = scgauge.datasets.pbmc68k_counts()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    variance = np.asarray(adata.X.power(2).mean(0) - np.square(adata.X.mean(0))).ravel()
    return adata[:, np.sort(np.argsort(-variance)[:n_genes])].copy()


def fit(adata: AnnData, seed: int, epochs: int, train: np.ndarray, *, lr: float = 1e-3, **network: Any) -> Autoencoder:
    cells = adata.copy()
    scvi.settings.seed = seed
    Autoencoder.setup_anndata(cells)
    model = Autoencoder(cells, **network)
    rest = np.setdiff1d(np.arange(adata.n_obs), train)
    split = {"external_indexing": [train, rest]}
    model.train(epochs, datasplitter_kwargs=split, plan_kwargs={"lr": lr}, enable_progress_bar=False, batch_size=64)
    return model


def zeros(adata: AnnData, seed: int, epochs: int) -> list[dict]:
    """Share of zero weights, and errors, by penalty."""
    train, _ = split(adata, seed)
    rows = []
    for penalty in (0.0, 0.01, 0.03, 0.1, 0.3):
        model = fit(adata, seed, epochs, train, sparsity=penalty)
        rows.append({"seed": seed, "penalty": penalty, "zeros": model.get_zero_share()} | held_out(model))
    return rows


def held_out(model: Autoencoder) -> dict[str, float]:
    return model.get_held_out_error()[["train", "held_out"]].astype(float).to_dict()


def split(adata: AnnData, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    n_train = int(0.8 * adata.n_obs)
    return np.sort(order[:n_train]), np.sort(order[n_train:])


def denoising(adata: AnnData, seed: int, epochs: int) -> list[dict]:
    """Error against clean held-out cells of what was reconstructed from cells with 30 % of their entries lost."""
    train, rest = split(adata, seed)
    clean = adata[rest].X.toarray()
    broken = adata[rest].copy()
    lost = np.random.default_rng(seed + 100).random(clean.shape) < DROPOUT
    broken.X = np.where(lost, 0, clean).astype(np.float32)
    hit = lost & (clean > 0)
    pca = PCA(10, random_state=0).fit(adata[train].X.toarray())
    answers = {
        "nothing done": broken.X,
        "mean of the gene": np.tile(adata[train].X.toarray().mean(0), (len(rest), 1)),
        "PCA, 10 components": pca.inverse_transform(pca.transform(broken.X)),
    }
    for name, network in {
        "plain": {},
        "denoising": {"noise": "masking", "noise_level": DROPOUT},
        "contractive": {"contractive": 1.0},
    }.items():
        answers[name] = fit(adata, seed, epochs, train, **network).get_reconstruction(broken)
    rows = []
    for name, found in answers.items():
        error = np.square(found - clean)
        rows.append({"seed": seed, "model": name, "all": error.sum(1).mean(), "lost": error[hit].mean()})
    return rows


def training_size(adata: AnnData, seed: int, epochs: int) -> list[dict]:
    """Training and held-out error of linear, deep and PCA by number of training cells, the same number of steps."""
    train, rest = split(adata, seed)
    rows = []
    for n in (50, 150, len(train)):
        some = train[np.random.default_rng(seed).permutation(len(train))[:n]]
        longer = int(epochs * len(train) / n)
        x = adata[some].X.toarray()
        pca = PCA(10, random_state=0).fit(x)
        for name, cells in (("train", some), ("held_out", rest)):
            clean = adata[cells].X.toarray()
            error = np.square(pca.inverse_transform(pca.transform(clean)) - clean).sum(1).mean()
            rows.append({"seed": seed, "n": n, "model": "PCA", "cells": name, "error": error})
        for name, network in {
            "linear": {"n_layers": 0, "lr": 0.01},
            "deep": {"n_hidden": [128, 64]},
            "deep, denoising": {"n_hidden": [128, 64], "noise": "masking", "noise_level": DROPOUT},
        }.items():
            model = fit(adata, seed, longer, some, **network)
            for kind, error in held_out(model).items():
                rows.append({"seed": seed, "n": n, "model": name, "cells": kind, "error": error})
    return rows


def synthetic(adata: AnnData, seed: int, epochs: int) -> list[dict]:
    """Scoreboard of cells drawn from an autoencoder of counts and from CountVI, of the same widths."""
    cells = adata.copy()
    cells.X = cells.layers["counts"].copy()
    cells = cells[np.asarray(cells.X.sum(1)).ravel() > 0].copy()
    train, rest = split(cells, seed)
    rows = []
    for name in ("Autoencoder", "CountVI"):
        data = cells.copy()
        scvi.settings.seed = seed
        model_class = {"Autoencoder": Autoencoder, "CountVI": CountVI}[name]
        model_class.setup_anndata(data)
        model = model_class(data, gene_likelihood="nb", n_latent=10)
        options = {"datasplitter_kwargs": {"external_indexing": [train, rest]}, "enable_progress_bar": False}
        model.train(epochs, **options)
        drawn = scgauge.tl.sample(model, len(train), rng=seed, progress=False)
        scgauge.tl.synthetic_quality(data, drawn, model=model, n_splits=2, n_top_genes=100, rng=seed, progress=False)
        table = drawn.uns["synthetic_quality"]["overall"]
        rows += table[["family", "scaled"]].assign(seed=seed, model=name).to_dict("records")
    return rows


def diet(_: AnnData, seed: int, epochs: int) -> list[dict]:
    """Plain and diet networks of the same widths by number of training cells: error and number of weights."""
    cells = scgauge.datasets.pbmc_facs()
    sc.pp.filter_genes(cells, min_cells=50)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    rest = order[:500]
    rows = []
    for n in (100, 400, 1600):
        train = np.sort(order[500 : 500 + n])
        some = cells[np.concatenate((train, rest))].copy()
        some.obs["split"] = np.repeat(["train", "test"], (n, len(rest)))
        scgauge.pp.gene_embedding(some, n_dims=50, split_key="split", rng=seed)
        clean = some.X.toarray()
        error = np.square(clean[n:] - clean[:n].mean(0)).sum(1).mean()
        rows.append({"seed": seed, "n": n, "model": "mean of the gene", "held_out": error})
        for name, network in {"plain": {}, "diet": {"gene_embedding_key": "gene_embedding"}}.items():
            # As many steps for few cells as for many, up to the epochs at which few are known by heart.
            model = fit(some, seed, min(4 * epochs, epochs * 1600 // n), np.arange(n), **network)
            weights = sum(parameter.numel() for parameter in model.module.z_encoder.parameters())
            rows.append({"seed": seed, "n": n, "model": name, "weights": weights} | held_out(model))
    return rows


STUDIES: dict[str, Callable[[AnnData, int, int], list[dict]]] = {
    "zeros": zeros,
    "denoising": denoising,
    "training_size": training_size,
    "synthetic": synthetic,
    "diet": diet,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    adata = blood()
    record: dict[str, Any] = {"machine": platform.platform(), "epochs": arguments.epochs, "seeds": arguments.seeds}
    for study in arguments.studies:
        rows = []
        for seed in range(arguments.seeds):
            rows += STUDIES[study](adata, seed, arguments.epochs)
            record[study] = rows
            if arguments.out:
                arguments.out.write_text(json.dumps(record, indent=1, default=float))
        table = pd.DataFrame(rows)
        keys = [c for c in ("penalty", "model", "n", "cells", "family") if c in table]
        print(study)
        print(
            table.drop(columns="seed").groupby(keys, sort=False).agg(["mean", "std"]).round(3).to_string(), flush=True
        )


if __name__ == "__main__":
    main()
