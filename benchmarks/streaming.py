"""Training from disk: seconds of an epoch, peak memory and validation ELBO against cells in memory and against SCVI.

Cells are simulated block by block into an h5ad file, sorted by type, which is the worst case for shuffled blocks. Each
run is a process of its own, so that its peak memory (resident set) is its own. Runs, by name:

    disk     CountVI, matrix on disk           memory       CountVI, matrix in memory
    scvi     SCVI on the backed file            scvi-memory  SCVI, matrix in memory
    annbatch SCVI with scvi-tools' AnnbatchDataModule on a zarr collection (scvi-tools >= 1.5, annbatch < 0.3)
    annbatch-countvi   CountVI with the same data module

    python benchmarks/streaming.py --cells 1000000 --runs disk memory --folder /scratch --out streaming.json
    python benchmarks/streaming.py --cells 100000 --runs disk memory scvi scvi-memory --folder /scratch
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

N_TYPES, BLOCK = 12, 20_000
RUNS = ("disk", "memory", "scvi", "scvi-memory", "annbatch", "annbatch-countvi")


def make_block(profiles: np.ndarray, kinds: np.ndarray, library: float, rng: np.random.Generator):
    """Poisson counts of cells that mix the profile of their type with that of another; csr."""
    from scipy import sparse

    n_cells, n_genes = len(kinds), profiles.shape[1]
    totals = rng.poisson(rng.lognormal(np.log(library), 0.3, n_cells)) + 1
    cell = np.repeat(np.arange(n_cells), totals)
    other = rng.integers(N_TYPES, size=n_cells)
    source = np.where(rng.random(len(cell)) < 0.8, kinds[cell], other[cell])
    # One sorted table of all profiles: the profile is the whole part, the place in it the fraction.
    table = (np.cumsum(profiles, 1) / profiles.sum(1, keepdims=True) + np.arange(N_TYPES)[:, None]).ravel()
    gene = np.minimum(np.searchsorted(table, source + rng.random(len(cell))) - source * n_genes, n_genes - 1)
    block = sparse.coo_matrix((np.ones(len(cell), np.float32), (cell, gene)), shape=(n_cells, n_genes)).tocsr()
    block.sum_duplicates()
    return block


def write(path: Path, n_cells: int, n_genes: int, density: float, seed: int = 0) -> None:
    """Write simulated cells to an h5ad file, block by block."""
    import h5py
    import pandas as pd
    from anndata.io import sparse_dataset, write_elem

    rng = np.random.default_rng(seed)
    profiles = rng.gamma(0.5, 1.0, (N_TYPES, n_genes)) + 0.02
    low, high = 1.0, 10.0 * n_genes
    for _ in range(20):  # the library that gives the density asked for
        middle = np.sqrt(low * high)
        found = make_block(profiles, rng.integers(N_TYPES, size=300), middle, rng).nnz / (300 * n_genes)
        low, high = (middle, high) if found < density else (low, middle)
    kinds = np.sort(rng.integers(N_TYPES, size=n_cells))
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for start in range(0, n_cells, BLOCK):
            block = make_block(profiles, kinds[start : start + BLOCK], low, rng)
            if start == 0:
                write_elem(file, "X", block)
            else:
                sparse_dataset(file["X"]).append(block)
        obs = pd.DataFrame(
            {"type": pd.Categorical(kinds.astype(str)), "batch": pd.Categorical(rng.choice(["a", "b"], n_cells))},
            index=np.char.add("cell", np.arange(n_cells).astype(str)),
        )
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=[f"gene{index}" for index in range(n_genes)]))
        for slot in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            write_elem(file, slot, {})


def peak_gb() -> float:
    """Peak resident memory of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def annbatch_module(model_class, path: Path, batch_size: int):
    """scvi-tools' data module over an annbatch collection, which is written beside the file if it is not there."""
    place = path.with_suffix(".annbatch.zarr")
    start = time.perf_counter()
    module = model_class.setup_annbatch(
        str(place),
        paths=[str(path)],
        batch_key="batch",
        rebuild=not place.exists(),
        batch_size=batch_size,
        chunk_size=64,
        preload_nchunks=128,
        preload_to_gpu=False,
        shuffle=True,
    )
    return module, time.perf_counter() - start


def train(name: str, arguments: argparse.Namespace, path: Path) -> dict:
    import anndata
    import lightning.pytorch as pl
    import scvi
    import torch

    import scgauge

    torch.set_num_threads(1)
    scvi.settings.seed = 0
    times: list[float] = []
    cpu: list[float] = []

    class Clock(pl.Callback):
        def on_train_epoch_start(self, *_):
            self.start, self.cpu = time.perf_counter(), time.process_time()

        def on_train_epoch_end(self, *_):
            times.append(time.perf_counter() - self.start)
            cpu.append(time.process_time() - self.cpu)

    record = {"imports_gb": peak_gb()}
    model_class = scgauge.model.CountVI if name in {"disk", "memory", "annbatch-countvi"} else scvi.model.SCVI
    options, start = {}, time.perf_counter()
    if "annbatch" in name:
        module, record["collection_s"] = annbatch_module(model_class, path, arguments.batch_size)
        model = model_class(registry=module.registry, gene_likelihood="nb")
        options = {"datamodule": module, "train_size": 0.9}
    else:
        if name == "disk":
            adata = scgauge.datasets.read_backed(path)
        else:
            adata = anndata.read_h5ad(path, backed="r" if name == "scvi" else None)
        model_class.setup_anndata(adata, batch_key="batch")
        model = model_class(adata, gene_likelihood="nb")
        options = {"train_size": 0.9}
        if "memory" in name:
            record["csr_gb"] = (adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes) / 1e9
    record |= {"setup_s": time.perf_counter() - start, "setup_gb": peak_gb()}
    model.train(
        max_epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        check_val_every_n_epoch=1,
        callbacks=[Clock()],
        plan_kwargs={"n_epochs_kl_warmup": 1},
        accelerator="cpu",
        devices=1,
        enable_progress_bar=False,
        logger=None,
        **options,
    )
    n_train = int(0.9 * arguments.cells)
    record |= {
        "epoch_s": times,
        "epoch_cpu_s": cpu,
        "cells_per_s": n_train / float(np.median(times)),
        "training_gb": peak_gb(),
    }
    if model.history is not None and "elbo_validation" in model.history:
        record["elbo_validation"] = model.history["elbo_validation"].to_numpy(float).ravel().tolist()
    if "annbatch" not in name:
        start = time.perf_counter()
        latent = model.get_latent_representation()
        record |= {"latent_s": time.perf_counter() - start, "latent_gb": peak_gb(), "latent_shape": list(latent.shape)}
        if name == "disk":
            import zarr

            store = zarr.open_group(path.with_suffix(".latent.zarr"), mode="w")
            anndata.io.write_elem(store, "X_latent", latent)
            start = time.perf_counter()
            drawn = scgauge.tl.sample(model, 1000, rng=0, progress=False)
            record |= {"sample_s": time.perf_counter() - start, "sample_nonzero": drawn.X.nnz / np.prod(drawn.shape)}
    return record | {"peak_gb": peak_gb()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--density", type=float, default=0.07)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=["disk"])
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true", help="run in this process")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    path = arguments.folder / f"cells_{arguments.cells}_{arguments.genes}.h5ad"
    if arguments.one:
        warnings.simplefilter("ignore")
        print("RECORD " + json.dumps(train(arguments.runs[0], arguments, path)))
        return
    if not path.exists():
        start = time.perf_counter()
        write(path, arguments.cells, arguments.genes, arguments.density)
        print(f"{path.stat().st_size / 1e9:.2f} GB written in {time.perf_counter() - start:.0f} s", flush=True)
    records = {}
    for name in arguments.runs:
        same = ["--cells", "--genes", "--epochs", "--batch-size"]
        values = [arguments.cells, arguments.genes, arguments.epochs, arguments.batch_size]
        command = [sys.executable, __file__, "--one", "--runs", name, "--folder", str(arguments.folder)]
        command += [text for pair in zip(same, map(str, values), strict=True) for text in pair]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("RECORD ")]
        records[name] = json.loads(lines[-1][7:]) if lines else {"failed": done.stderr[-2000:]}
        print(name, json.dumps(records[name]), flush=True)
        if arguments.out:
            import scvi
            import torch

            versions = {"python": platform.python_version(), "scvi": scvi.__version__, "torch": torch.__version__}
            about = {"cells": arguments.cells, "genes": arguments.genes, "date": datetime.now(UTC).isoformat()}
            arguments.out.write_text(json.dumps(about | versions | {"runs": records}, indent=1))


if __name__ == "__main__":
    main()
