"""Simulation of Nussberger et al. (2021): log odds ratios of a bernoulli CountVI and of a deep Boltzmann machine.

Pairs of genes of one block have the odds ratio 1.698, of different blocks 0.535, of noise 1; models are fitted to
growing numbers of cells. Run with

    python benchmarks/nussberger.py --seeds 5 --out nussberger.json --figure nussberger.png

(`--table nussberger.json` draws and prints what was run before).
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scvi
from anndata import AnnData

import scgauge

MODELS = ("CountVI", "DeepBoltzmannMachine")
TRUTH = {"same block": np.log(1.698318604), "different blocks": np.log(0.5351239669), "other": 0.0}


def means(adata: AnnData, block: np.ndarray) -> dict[str, float]:
    """Mean log odds ratio of each kind of pair."""
    log_odds = scgauge.metrics.log_odds_ratio(adata.X, correction="max").log_odds
    upper = np.triu(np.ones_like(log_odds, dtype=bool), 1)
    informative = (block[:, None] != "noise") & (block[None, :] != "noise")
    same = block[:, None] == block[None, :]
    kinds = {"same block": informative & same, "different blocks": informative & ~same, "other": ~informative}
    return {kind: float(log_odds[mask & upper].mean()) for kind, mask in kinds.items()}


def fit(name: str, cells: AnnData, steps: int):
    """Train a model; the machine as often on each cell as its authors did, within `steps` in all."""
    if name == "CountVI":
        scgauge.model.CountVI.setup_anndata(cells)
        model = scgauge.model.CountVI(cells, gene_likelihood="bernoulli", n_latent=2, n_hidden=50, dropout_rate=0)
        model.train(max(1, steps // -(-cells.n_obs // 128)), train_size=1.0, enable_progress_bar=False, logger=False)
        return model
    scgauge.model.DeepBoltzmannMachine.setup_anndata(cells)
    model = scgauge.model.DeepBoltzmannMachine(cells)
    model.train(max(1, steps // -(-cells.n_obs // 32)), batch_size=32, train_size=1.0, enable_progress_bar=False)
    return model


def run(arguments: argparse.Namespace) -> list[dict]:
    rows = []
    for seed in range(arguments.seeds):
        full = scgauge.datasets.simulate_binary_blocks(max(5000, *arguments.sizes), 50, rng=seed)
        order = np.random.default_rng(seed).permutation(full.n_obs)
        block = full.var["block"].astype(str).to_numpy()
        for size in arguments.sizes:
            cells = AnnData(full.X[order[:size]], var=full.var[[]])
            cells.obs_names = [f"cell_{index}" for index in range(size)]
            found = {"training cells": means(cells, block)}
            for name in arguments.models:
                scvi.settings.seed = seed
                model = fit(name, cells, arguments.steps)
                found[name] = means(scgauge.tl.sample(model, 20_000, rng=seed, progress=False), block)
            for source, values in found.items():
                rows += [
                    {"seed": seed, "n": size, "source": source, "pair": kind, "log_odds": value}
                    for kind, value in values.items()
                ]
            print(seed, size, found, flush=True)
    return rows


def figure(table: pd.DataFrame, path: Path) -> None:
    """Mean log odds ratio and its spread over seeds by the number of cells, one panel a kind of pair."""
    import matplotlib.pyplot as plt

    colours = {"training cells": "0.5", "CountVI": "C0", "DeepBoltzmannMachine": "C1"}
    fig, axes = plt.subplots(1, len(TRUTH), figsize=(10, 3.2), layout="constrained", sharex=True)
    titles = {"same block": "genes of one block", "different blocks": "genes of two blocks", "other": "other genes"}
    for ax, (kind, truth) in zip(axes, TRUTH.items(), strict=True):
        ax.axhline(truth, color="black", linewidth=1, linestyle="--", label="truth")
        for place, (source, colour) in enumerate(colours.items()):
            rows = table[(table["pair"] == kind) & (table["source"] == source)]
            if len(rows):
                by_size = rows.groupby("n")["log_odds"].agg(["mean", "std"])
                ax.errorbar(
                    by_size.index * 1.08 ** (place - 1),  # beside each other
                    by_size["mean"],
                    by_size["std"],
                    color=colour,
                    marker="o",
                    ms=4,
                    capsize=3,
                    label=source,
                )
        ax.set(xscale="log", xlabel="training cells", title=titles[kind])
    axes[0].set_ylabel("mean log odds ratio")
    axes[0].legend(frameon=False, fontsize=8)
    fig.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000, 5000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000, help="gradient steps, the same for every size")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--table", type=Path, help="a result written with --out, instead of a run")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = json.loads(arguments.table.read_text())["rows"] if arguments.table else run(arguments)
    if arguments.out:
        options = {key: value for key, value in vars(arguments).items() if not isinstance(value, Path)}
        record = {"arguments": options, "machine": platform.platform(), "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=1))
    table = pd.DataFrame(rows)
    table["bias"] = table["log_odds"] - table["pair"].map(TRUTH)
    print(table.groupby(["pair", "source", "n"])[["log_odds", "bias"]].agg(["mean", "std"]).round(3).to_string())
    if arguments.figure:
        figure(table, arguments.figure)


if __name__ == "__main__":
    main()
