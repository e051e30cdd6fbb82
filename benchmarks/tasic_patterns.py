"""Log-linear patterns of Tasic-180 (PatternExtractor): genes in every run, and how fast G^2 decays.

    SCGAUGE_DATA_DIR=... python benchmarks/tasic_patterns.py --seeds 5 --out tasic_patterns.json

Data are binary (above the median of each gene). `default` is CountVI with the Bernoulli likelihood and one hidden layer
of 30; `published` is the same model with the published encoder, 180 -> 30 tanh -> 10 tanh -> 2. Both decode
2 -> 30 ReLU -> 180, train 25 epochs with batches of 10 and learning rate 0.004, and draw 2,805 cells from the prior.
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
import scvi
import torch
from torch import nn
from torch.distributions import Normal

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

PUBLISHED = [989.4, 671.8, 443.0, 326.6, 298.9, 220.2, 205.2, 192.8]
NETWORK = {"gene_likelihood": "bernoulli", "n_latent": 2, "n_hidden": 30, "dropout_rate": 0.0, "use_batch_norm": "none"}
PLAN = {"lr": 0.004, "eps": 1e-8, "weight_decay": 0.0, "n_epochs_kl_warmup": None}


class PublishedEncoder(nn.Module):
    """Two layers of hyperbolic tangents, then mean and log variance."""

    def __init__(self, n_genes: int, n_latent: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_genes, 30), nn.Tanh(), nn.Linear(30, 10), nn.Tanh())
        self.mean, self.log_variance = nn.Linear(10, n_latent), nn.Linear(10, n_latent)

    def forward(self, x: Any, codes: Any = ()) -> Normal:
        hidden = self.body(x if isinstance(x, torch.Tensor) else x.to_dense())
        return Normal(self.mean(hidden), self.log_variance(hidden).exp().add(1e-4).sqrt(), validate_args=False)


def binary_cells() -> AnnData:
    adata = scgauge.datasets.tasic2016()
    scgauge.pp.binarize(adata, threshold="quantile")
    adata.X = adata.layers["binary"]
    return adata


def run(adata: AnnData, network: str, seed: int) -> dict[str, Any]:
    scvi.settings.seed = seed
    cells = adata.copy()
    scgauge.model.CountVI.setup_anndata(cells)
    model = scgauge.model.CountVI(cells, **NETWORK)
    if network == "published":
        model.module.z_encoder = PublishedEncoder(cells.n_vars, 2)
    begin = time.perf_counter()
    model.train(25, batch_size=10, train_size=1.0, plan_kwargs=PLAN, accelerator="cpu", enable_progress_bar=False)
    seconds = time.perf_counter() - begin
    table = scgauge.tl.log_linear_patterns(model, n_genes=8, n_samples=2805, alpha=None, rng=seed, progress=False)
    synthetic = scgauge.tl.sample(model, 2805, rng=seed, progress=False)
    scgauge.tl.annotate_by_pattern(cells, synthetic, genes=table, labels_key="cell_type")
    row = {"network": network, "seed": seed, "genes": table["gene"].tolist(), "g2": table["g2"].round(1).tolist()}
    return row | {"unmatched": synthetic.uns["pattern"]["unmatched"], "seconds_training": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=["published", "default"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    adata = binary_cells()
    rows = []
    for network in arguments.networks:
        for seed in range(arguments.seeds):
            rows.append(run(adata, network, seed))
            print(rows[-1], flush=True)
        found = [row for row in rows if row["network"] == network]
        every = set.intersection(*(set(row["genes"]) for row in found))
        mean = np.mean([row["g2"] for row in found if len(row["g2"]) == len(PUBLISHED)], axis=0)
        print(network, "in every run:", sorted(every), "mean G^2:", np.round(mean, 1), flush=True)
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        record = {"versions": versions, "machine": platform.platform(), "published": PUBLISHED}
        arguments.out.write_text(json.dumps(record | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
