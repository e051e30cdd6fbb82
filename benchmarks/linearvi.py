"""LinearVI: against CountVI on held-out cells, planted loadings, markers of blood cells and interferon programs.

    SCGAUGE_DATA_DIR=... python benchmarks/linearvi.py elbo --seeds 5 --out elbo.json

Studies: `elbo` (held-out ELBO and time of LinearVI and CountVI with equal n_latent), `planted` (loadings of
simulate_counts), `markers` (known markers among the top genes of a factor), `programs` (masked model on cells with and
without interferon), `coverage` (credible intervals of BayesianLinearVI on planted loadings).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scvi
import torch
from scipy.linalg import orthogonal_procrustes, subspace_angles

import scgauge
from scgauge.metrics import match_loadings
from scgauge.model import BayesianLinearVI, CountVI, LinearVI
from scgauge.train import warmup_epochs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

#: Draws of the latent points over which the held-out ELBO is averaged.
N_DRAWS = 20
#: Written down before any factor was looked at: markers of the major types of pbmc_facs.
MARKERS = {
    "B cell": ["CD79A", "CD79B", "MS4A1"],
    "T cell": ["CD3D", "CD3E", "IL7R"],
    "NK cell": ["GNLY", "NKG7", "GZMB"],
    "CD14+": ["LYZ", "S100A8", "S100A9", "CD14"],
    "CD34+": ["CD34", "SPINK2", "CDK6"],
}
INTERFERON = {"HALLMARK_INTERFERON_ALPHA_RESPONSE", "HALLMARK_INTERFERON_GAMMA_RESPONSE"}


def load_counts(name: str, n_top_genes: int = 1000) -> AnnData:
    adata = getattr(scgauge.datasets, name)()
    if name == "tasic2016":  # normalised by size factors: the nearest integers
        adata.X = np.rint(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X).astype(np.float32)
    if adata.n_vars > n_top_genes:
        scgauge.pp.hvg_counts(adata, n_top_genes=n_top_genes)
        adata = adata[:, adata.var["highly_variable"]].copy()
    return adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()


def held_out_elbo(model_class: type, adata: AnnData, seed: int, epochs: int, **network: Any) -> dict[str, float]:
    scvi.settings.seed = seed
    model_class.setup_anndata(adata)
    model = model_class(adata, gene_likelihood="nb", **network)
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    held_out, training = order[: adata.n_obs // 10], order[adata.n_obs // 10 :]
    start = time.process_time()  # not disturbed by other processes
    model.train(
        max_epochs=epochs,
        datasplitter_kwargs={"external_indexing": [training, held_out, np.array([], dtype=int)]},
        plan_kwargs={"n_epochs_kl_warmup": warmup_epochs(epochs)},
        enable_progress_bar=False,
        logger=None,
    )
    seconds = time.process_time() - start
    with torch.random.fork_rng():
        elbo = np.mean([float(model.get_elbo(indices=held_out)) for _ in range(N_DRAWS)])
    return {"elbo": float(elbo), "seconds": seconds}


def elbo(seeds: int, epochs: int, datasets: list[str], *, batch_norm: bool) -> Iterator[dict[str, Any]]:
    kinds: list[tuple[str, type, dict]] = [("CountVI", CountVI, {}), ("LinearVI", LinearVI, {})]
    if batch_norm:
        kinds.append(("LinearVI, batch norm", LinearVI, {"use_batch_norm": "both"}))
    for name in datasets:
        adata = load_counts(name)
        for seed in range(seeds):
            for label, model_class, network in kinds:
                row = {"dataset": name, "cells": adata.n_obs, "genes": adata.n_vars, "seed": seed, "model": label}
                yield row | held_out_elbo(model_class, adata.copy(), seed, epochs, **network)


def planted(seeds: int, epochs: int) -> Iterator[dict[str, Any]]:
    for kind, rotation in (("sparse", "varimax"), ("orthogonal", "svd")):
        for seed in range(seeds):
            adata = scgauge.datasets.simulate_counts(1000, 100, loadings=kind, rng=seed)
            model = fit_planted(LinearVI, adata, seed, epochs)
            truth = adata.varm["loadings"]
            found = model.get_loadings(rotation=rotation).to_numpy()
            r = np.abs(match_loadings(truth, found).correlation)
            angle = float(np.degrees(subspace_angles(truth, found)).max())
            yield {"loadings": kind, "seed": seed, "angle": angle, "median_r": float(np.median(r)), "min_r": r.min()}
    for seed in range(seeds):
        adata = scgauge.datasets.simulate_counts(1000, 100, n_batches=2, batch_effect=1.0, rng=seed)
        for key in (None, "batch"):
            model = fit_planted(LinearVI, adata.copy(), seed, epochs, batch_key=key)
            found = model.get_loadings(rotation="varimax").to_numpy()
            truth = adata.varm["loadings"]
            r = np.abs(match_loadings(truth, found).correlation)
            angle = float(np.degrees(subspace_angles(truth, found)).max())
            label = f"sparse, two batches, batch_key={key!r}"
            yield {"loadings": label, "seed": seed, "angle": angle, "median_r": float(np.median(r)), "min_r": r.min()}


def fit_planted(model_class: type, adata: AnnData, seed: int, epochs: int, batch_key: str | None = None, **network):
    scvi.settings.seed = seed
    model_class.setup_anndata(adata, batch_key=batch_key)
    model = model_class(adata, n_latent=adata.varm["loadings"].shape[1], **network)
    model.train(max_epochs=epochs, train_size=1.0, plan_kwargs={"lr": 1e-2}, enable_progress_bar=False, logger=None)
    return model


def markers(seeds: int, epochs: int) -> Iterator[dict[str, Any]]:
    adata = load_counts("pbmc_facs", 2000)
    present = {cell: [gene for gene in genes if gene in adata.var_names] for cell, genes in MARKERS.items()}
    for seed in range(seeds):
        scvi.settings.seed = seed
        LinearVI.setup_anndata(adata)
        model = LinearVI(adata)
        model.train(max_epochs=epochs, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, logger=None)
        loadings = model.get_loadings(rotation="varimax")
        top = {factor: loadings[factor].abs().nlargest(20).index for factor in loadings}
        for cell, genes in present.items():
            hits = {factor: [gene for gene in genes if gene in names] for factor, names in top.items()}
            factor = max(hits, key=lambda name: len(hits[name]))
            ranks = {gene: int(min(loadings[f].abs().rank(ascending=False)[gene] for f in loadings)) for gene in genes}
            yield {"seed": seed, "cell_type": cell, "factor": factor, "found": hits[factor], "best_ranks": ranks}


def programs(seeds: int, epochs: int) -> Iterator[dict[str, Any]]:
    adata = load_counts("scgen_kang", 3000)
    sets = scgauge.datasets.gene_sets("hallmark")
    scgauge.pp.gene_set_mask(adata, gene_sets=sets, min_genes=10)
    stimulated = (adata.obs["condition"] == "stimulated").to_numpy()
    for seed in range(seeds):
        scvi.settings.seed = seed
        LinearVI.setup_anndata(adata)
        model = LinearVI(adata, mask_key="gene_sets", n_free_factors=1)
        model.train(max_epochs=epochs, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, logger=None)
        z = pd.DataFrame(model.get_latent_representation(), columns=model.factor_names)
        gap = z[stimulated].mean() - z[~stimulated].mean()
        pooled = np.sqrt((z[stimulated].var() + z[~stimulated].var()) / 2)
        ranked = (gap / pooled).sort_values(key=np.abs, ascending=False)
        ranks = {name: ranked.index.get_loc(name) + 1 for name in INTERFERON}
        yield {"seed": seed, "first": ranked.head(5).round(2).to_dict(), "ranks": ranks, "n_factors": len(ranked)}


def coverage(seeds: int, epochs: int) -> Iterator[dict[str, Any]]:
    for seed in range(seeds):
        adata = scgauge.datasets.simulate_counts(1000, 100, rng=seed)
        truth = adata.varm["loadings"]
        for kind in ("full", "diagonal"):
            model = fit_planted(BayesianLinearVI, adata.copy(), seed, epochs, covariance=kind)
            yield {"seed": seed, "covariance": kind} | aligned_coverage(model, truth)


def aligned_coverage(model: BayesianLinearVI, truth: np.ndarray, level: float = 0.9) -> dict[str, float]:
    """Share of planted loadings inside their interval, after one orthogonal matrix fitted on the posterior mean."""
    start = model.get_rotation(rotation="varimax", order=None).to_numpy()
    mean = model.get_loadings(rotation=start, order=None).to_numpy()
    turn = start @ orthogonal_procrustes(mean, truth)[0]
    table = model.get_loadings(return_interval=level, rotation=turn, order=None)
    truth_long = truth.T.ravel()
    inside = (table["lower"] <= truth_long) & (truth_long <= table["upper"])
    signs = table["local_false_sign_rate"] < 0.05
    wrong = (np.sign(table["loading"]) != np.sign(truth_long))[signs]
    return {
        "coverage": float(inside.mean()),
        "mean_width": float((table["upper"] - table["lower"]).mean()),
        "error_sd": float((table["loading"] - truth_long).std()),
        "mean_sd": float(table["sd"].mean()),
        "signs_called": float(signs.mean()),
        "wrong_signs": float(wrong.mean()),
    }


STUDIES = {"planted": planted, "markers": markers, "programs": programs, "coverage": coverage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["elbo", *STUDIES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--datasets", nargs="+", default=["tasic2016", "zeisel2015_descend", "pbmc_facs"])
    parser.add_argument("--batch-norm", action="store_true", help="elbo: also with batch norm in the decoder")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    if arguments.study == "elbo":
        study = elbo(arguments.seeds, arguments.epochs, arguments.datasets, batch_norm=arguments.batch_norm)
    else:
        study = STUDIES[arguments.study](arguments.seeds, arguments.epochs)
    for row in study:
        rows.append(row)
        print(row, flush=True)
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        record = {"study": arguments.study, "epochs": arguments.epochs, "versions": versions}
        record |= {"machine": platform.platform(), "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=1, default=str))


if __name__ == "__main__":
    main()
