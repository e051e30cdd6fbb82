"""Simulation of Nussberger et al. (2021): log odds ratios of a bernoulli CountVI against the truth, by sample size.

Pairs of genes of one block have the odds ratio 1.698, of different blocks 0.535, of noise 1. Run with

    python benchmarks/nussberger.py --seeds 5 --out nussberger.json
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

TRUTH = {"same block": np.log(1.698318604), "different blocks": np.log(0.5351239669), "other": 0.0}


def means(adata: AnnData, block: np.ndarray) -> dict[str, float]:
    """Mean log odds ratio of each kind of pair."""
    log_odds = scgauge.metrics.log_odds_ratio(adata.X, correction="max").log_odds
    upper = np.triu(np.ones_like(log_odds, dtype=bool), 1)
    informative = (block[:, None] != "noise") & (block[None, :] != "noise")
    same = block[:, None] == block[None, :]
    kinds = {"same block": informative & same, "different blocks": informative & ~same, "other": ~informative}
    return {kind: float(log_odds[mask & upper].mean()) for kind, mask in kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000, 5000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000, help="gradient steps, the same for every size")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    for seed in range(arguments.seeds):
        full = scgauge.datasets.simulate_binary_blocks(max(5000, *arguments.sizes), 50, rng=seed)
        order = np.random.default_rng(seed).permutation(full.n_obs)
        block = full.var["block"].astype(str).to_numpy()
        for size in arguments.sizes:
            cells = AnnData(full.X[order[:size]], var=full.var[[]])
            cells.obs_names = [f"cell_{index}" for index in range(size)]
            scvi.settings.seed = seed
            scgauge.model.CountVI.setup_anndata(cells)
            model = scgauge.model.CountVI(cells, gene_likelihood="bernoulli", n_latent=2, n_hidden=50, dropout_rate=0)
            epochs = max(1, arguments.steps // max(1, -(-size // 128)))
            model.train(epochs, train_size=1.0, enable_progress_bar=False, logger=False)
            drawn = scgauge.tl.sample(model, 20_000, rng=seed, progress=False)
            for source, adata in (("CountVI", drawn), ("data", cells)):
                for kind, value in means(adata, block).items():
                    rows.append({"seed": seed, "n": size, "source": source, "pair": kind, "log_odds": value})
            print(rows[-6:], flush=True)
    table = pd.DataFrame(rows)
    table["bias"] = table["log_odds"] - table["pair"].map(TRUTH)
    print(table.groupby(["pair", "source", "n"])[["log_odds", "bias"]].agg(["mean", "std"]).round(3).to_string())
    if arguments.out:
        options = vars(arguments) | {"out": None}
        record = {"arguments": options, "machine": platform.platform(), "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
