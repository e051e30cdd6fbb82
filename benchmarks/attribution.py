"""Integrated gradients of all latent dimensions: scgauge against captum on the same network, in one run.

    python benchmarks/attribution.py --genes 2000 20000 --cells 128 --out results.json

captum is given the same path, the same nodes and as many cells at once as fit; both return mean absolute attributions.
`--memory-cells` also explains that many cells and reports the largest memory of the process.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import scvi
import torch
from anndata import AnnData
from captum.attr import IntegratedGradients
from scipy import sparse

import scgauge
from scgauge._core.adapter import adapt


def simulate(n_cells: int, n_genes: int, seed: int) -> AnnData:
    """Sparse counts, a tenth of them not zero."""
    rng = np.random.default_rng(seed)
    counts = sparse.random(n_cells, n_genes, density=0.1, format="csr", rng=rng, dtype=np.float32)
    counts.data = rng.geometric(0.3, counts.nnz).astype(np.float32)
    adata = AnnData(counts)
    adata.obs["batch"] = np.where(np.arange(n_cells) % 2, "a", "b")
    return adata


def trained(adata: AnnData, seed: int) -> scgauge.model.CountVI:
    scvi.settings.seed = seed
    some = adata[: min(adata.n_obs, 256)].copy()
    scgauge.model.CountVI.setup_anndata(some, batch_key="batch")
    model = scgauge.model.CountVI(some, n_latent=10)
    model.train(max_epochs=5, enable_progress_bar=False, accelerator="cpu", logger=None)
    return model


def with_captum(adata: AnnData, model: scgauge.model.CountVI, n_steps: int) -> np.ndarray:
    adapter = adapt(model).on(adata)
    network = adapter.encoder_network()
    x = torch.as_tensor(adapter.matrix.toarray())
    start = torch.log1p(x.sum(1, keepdim=True) * (x.sum(0) / x.sum()))
    covariates = network.covariates(adapter.context(np.arange(adata.n_obs)))

    def latent(u: torch.Tensor, some: list[torch.Tensor]) -> torch.Tensor:
        times = len(u) // len(some[0])
        beside = [value.repeat(times, *[1] * (value.dim() - 1)) for value in some]
        return network.rest(network.first(u, beside), beside)

    totals = np.zeros((adata.n_vars, 10))
    size = max(1, 2**27 // (n_steps * adata.n_vars))
    for begin in range(0, len(x), size):
        rows = slice(begin, begin + size)
        some = [value[rows] for value in covariates]
        captum = IntegratedGradients(lambda u, some=some: latent(u, some))
        for target in range(10):
            part = captum.attribute(torch.log1p(x[rows]), start[rows], target=target, n_steps=n_steps)
            totals[:, target] += part.abs().sum(0).detach().double().numpy()
    return totals / len(x)


def compare(n_cells: int, n_genes: int, n_steps: int, seed: int) -> dict[str, float]:
    adata = simulate(n_cells, n_genes, seed)
    model = trained(adata, seed)
    scgauge.tl._attribution_run._TOLERANCE = np.inf  # as many steps as captum takes
    arguments = {"n_steps": n_steps, "rng": 0, "progress": False}
    scgauge.tl.attribute(adata[:8].copy(), model, **arguments)
    begin = time.perf_counter()
    scgauge.tl.attribute(adata, model, **arguments)
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    expected = with_captum(adata, model, n_steps)
    captum = time.perf_counter() - begin
    difference = np.abs(adata.varm["ig"] - expected).max() / np.abs(expected).max()
    row = {"cells": n_cells, "genes": n_genes, "seconds": ours, "seconds_captum": captum, "ratio": captum / ours}
    return row | {"difference": float(difference)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--cells", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--memory-cells", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    if arguments.memory_cells:
        adata = simulate(arguments.memory_cells, max(arguments.genes), 0)
        model = trained(adata, 0)
        begin = time.perf_counter()
        scgauge.tl.attribute(adata, model, rng=0, progress=False)
        seconds = time.perf_counter() - begin
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append({"cells": adata.n_obs, "genes": adata.n_vars, "seconds": seconds, "largest_memory_gb": gigabytes})
        print(rows[-1], flush=True)
    for n_genes in arguments.genes:
        for seed in range(arguments.repeats):
            rows.append(compare(arguments.cells, n_genes, arguments.steps, seed))
            print(rows[-1], flush=True)
    if arguments.out:
        versions = {"scgauge": scgauge.__version__, "scvi-tools": scvi.__version__, "torch": torch.__version__}
        record = {"versions": versions, "machine": platform.platform(), "threads": torch.get_num_threads()}
        arguments.out.write_text(json.dumps(record | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
