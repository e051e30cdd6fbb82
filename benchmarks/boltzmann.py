"""Blocks of binary genes of Nussberger et al. (2021): log odds ratios of a deep Boltzmann machine against the truth.

Pairs of genes of one block have the log odds ratio 0.530, of different blocks -0.625, others 0. Run with

    python benchmarks/boltzmann.py --seeds 5 --out boltzmann.json
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from pathlib import Path

import pandas as pd
import scvi
from nussberger import means

import scgauge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    for seed in range(arguments.seeds):
        cells = scgauge.datasets.simulate_binary_blocks(arguments.cells, 50, rng=seed)
        block = cells.var["block"].astype(str).to_numpy()
        scvi.settings.seed = seed
        scgauge.model.DeepBoltzmannMachine.setup_anndata(cells)
        model = scgauge.model.DeepBoltzmannMachine(cells)
        model.train(arguments.epochs, batch_size=32, train_size=0.8, enable_progress_bar=False)
        drawn = scgauge.tl.sample(model, 20_000, rng=seed, progress=False)
        partition = model.get_log_partition()
        bound = model.get_log_likelihood(indices=model.validation_indices_)
        for source, adata in (("DBM", drawn), ("data", cells)):
            rows.append({"seed": seed, "source": source, **means(adata, block)})
        rows[-2] |= {"log_z_se": partition["se"], "held_out_bound": bound}
        print(rows[-2:], flush=True)
    table = pd.DataFrame(rows)
    print(table.drop(columns="seed").groupby("source").agg(["mean", "std"]).round(3).to_string())
    if arguments.out:
        record = {"arguments": vars(arguments) | {"out": None}, "machine": platform.platform(), "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=1, default=float))


if __name__ == "__main__":
    main()
