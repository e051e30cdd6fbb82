"""Calibrate the verdicts of the report: how do real cells, Poisson copies and independent copies score?

Cells of a data set are divided in three: training cells, cells held out, and a third part that stands in for synthetic
cells. Scored as synthetic cells are (a) that third part, (b) Poisson copies and (c) independent-genes copies of the
training cells. Run with

    SCGAUGE_DATA_DIR=... python benchmarks/verdicts.py --seeds 20 --out verdicts.json
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

import scgauge


def data_sets() -> dict[str, ad.AnnData]:
    """Cells of several sizes and depths."""
    pbmc = scgauge.datasets.pbmc68k_counts()
    facs = scgauge.pp.hvg_counts(scgauge.datasets.pbmc_facs(), n_top_genes=1000, copy=True)
    facs = facs[:, facs.var["highly_variable"]].copy()
    return {
        "pbmc68k": pbmc,
        "pbmc_facs": facs[np.random.default_rng(0).permutation(facs.n_obs)[:2400]].copy(),
        "simulated": scgauge.datasets.simulate_counts(1500, 300, rng=0),
    }


def scored(real: ad.AnnData, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    train, holdout, other = (real[np.sort(rows)].copy() for rows in np.array_split(rng.permutation(real.n_obs), 3))
    sources = {
        "real": other,
        "poisson": copied(train, scgauge.metrics.poisson_copy(train.X, rng=seed)),
        "independent": copied(train, scgauge.metrics.independent_copy(train.X, rng=seed)),
    }
    rows = []
    for name, synthetic in sources.items():
        scgauge.tl.synthetic_quality(train, synthetic, holdout=holdout, rng=seed, progress=False)
        overall = synthetic.uns["synthetic_quality"]["overall"]
        rows.append({"source": name, **dict(zip(overall["family"], overall["scaled"], strict=True))})
    return rows


def copied(cells: ad.AnnData, matrix) -> ad.AnnData:
    copy = ad.AnnData(matrix, var=pd.DataFrame(index=cells.var_names))
    copy.obs_names = [f"copy_{name}" for name in cells.obs_names]
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name, real in data_sets().items():
        for seed in range(arguments.seeds):
            rows += [{"dataset": name, "seed": seed, **row} for row in scored(real, seed)]
            print(rows[-3:], flush=True)
    table = pd.DataFrame(rows)
    table["worst"] = table[["genes", "cells", "pairs", "joint"]].max(axis=1)
    print(
        table.groupby(["dataset", "source"])[["all", "worst"]].describe(percentiles=[0.05, 0.95]).round(3).to_string()
    )
    if arguments.out:
        versions = {name: version(name) for name in ("scgauge", "scvi-tools", "torch")}
        result = {"versions": versions, "machine": platform.platform(), "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
