"""Seconds of an epoch, memory and held-out ELBO of CountVI, LinearVI, SCVI, a tuned SCVI and the bare matrix products.

Each model trains on the same cells and split, with the same KL warm-up, in alternation, each run in a process of its
own so that its peak memory is its own. With --compile CountVI trains a second time, in one compiled graph. "Floor" is a
loop over the matrix products of one training step at the same sizes: the dense encoder layer, the decoder layer and the
output heads, forward and backward, in the precision asked for and, with --gpu, on the GPU. Run with

    python benchmarks/training.py --cells 20000 --genes 2000 --density 0.1 --likelihoods nb zinb --out results.json
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
import pandas as pd

NAMES = ("floor", "CountVI", "LinearVI", "SCVI", "SCVI tuned")
COMPILED = "CountVI compiled"
HIDDEN, LATENT = 128, 10


def simulate(n_cells: int, n_genes: int, density: float, seed: int = 0):
    """Cells of eight programmes with negative binomial counts, of which about `density` are not zero; csr."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    programmes = rng.gamma(0.3, 1.0, (8, n_genes))
    programmes /= programmes.sum(1, keepdims=True)

    def block(n: int, library: float) -> sparse.csr_matrix:
        share = rng.dirichlet(np.full(8, 0.3), n) @ programmes
        rate = share * rng.lognormal(np.log(library), 0.3, (n, 1))
        return sparse.csr_matrix(rng.poisson(rng.gamma(2.0, rate / 2.0)).astype(np.float32))

    # The library that gives the density asked for, by bisection on a few cells.
    low, high = 1.0, 100.0 * n_genes
    for _ in range(25):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if block(200, middle).nnz / (200 * n_genes) < density else (low, middle)
    return sparse.vstack([block(min(2000, n_cells - start), low) for start in range(0, n_cells, 2000)]).tocsr()


def floor(arguments: argparse.Namespace) -> dict:
    import torch

    n_genes, batch_size, epochs = arguments.genes, arguments.batch_size, arguments.epochs
    torch.set_default_device("cuda" if arguments.gpu else "cpu")
    torch.set_default_dtype(torch.bfloat16 if arguments.precision.startswith("bf16") else torch.float32)
    x = torch.rand(batch_size, n_genes)
    first, last = torch.randn(n_genes, HIDDEN), torch.randn(HIDDEN, n_genes)
    h, gradient = torch.randn(batch_size, HIDDEN), torch.randn(batch_size, n_genes)
    heads = 2 if arguments.likelihood == "zinb" else 1

    def step() -> None:
        x @ first
        x.t() @ h
        for _ in range(heads):
            h @ last
            h.t() @ gradient
            gradient @ last.t()

    def run(n_steps: int) -> None:
        for _ in range(n_steps):
            step()
        if arguments.gpu:
            torch.cuda.synchronize()

    run(20)
    n_steps = epochs * -(-int(0.9 * arguments.cells) // batch_size)
    start = time.perf_counter()
    run(n_steps)
    return {"seconds_per_epoch": (time.perf_counter() - start) / epochs}


def train(name: str, arguments: argparse.Namespace) -> dict:
    import scvi
    import torch
    from anndata import AnnData

    import scgauge
    from scgauge.train import warmup_epochs

    adata = AnnData(simulate(arguments.cells, arguments.genes, arguments.density))
    scvi.settings.seed = 0
    model_class = getattr(scgauge.model, name.partition(" ")[0], scvi.model.SCVI)
    model_class.setup_anndata(adata)
    model = model_class(adata, gene_likelihood=arguments.likelihood)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    held_out = order[: adata.n_obs // 10]
    splitter = {"external_indexing": [order[adata.n_obs // 10 :], held_out, np.array([], dtype=int)]}
    options = {"batch_size": arguments.batch_size}
    plan = {"n_epochs_kl_warmup": warmup_epochs(arguments.epochs)}
    if name == "SCVI tuned":
        options = {"batch_size": 1024, "load_sparse_tensor": True}
        plan |= {"compile": arguments.compile}
    plan |= {"compile": True} if name == COMPILED else {}
    times: list[float] = []

    import lightning.pytorch as pl

    class Clock(pl.Callback):
        def on_train_epoch_start(self, *_):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, *_):
            times.append(time.perf_counter() - self.start)

    model.train(
        max_epochs=arguments.epochs,
        datasplitter_kwargs=splitter,
        plan_kwargs=plan,
        callbacks=[Clock()],
        precision=arguments.precision,
        accelerator="gpu" if arguments.gpu else "cpu",
        devices=1,
        enable_progress_bar=False,
        logger=None,
        **options,
    )
    # The first epoch also builds what is needed.
    seconds = float(np.median(times[1:]))
    start = time.perf_counter()
    model.get_latent_representation()
    latent = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    on_gpu = {"peak_gpu_memory_gb": torch.cuda.max_memory_allocated() / 1e9} if arguments.gpu else {}
    elbo = float(np.mean([float(model.get_elbo(indices=held_out)) for _ in range(3)]))
    return {
        "seconds_per_epoch": seconds,
        "latent_seconds": latent,
        "peak_memory_gb": memory,
        "matrix_gb": (adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes) / 1e9,
        "density": adata.X.nnz / np.prod(adata.shape),
        "elbo": elbo,
    } | on_gpu


def run_alone(name: str, likelihood: str, arguments: argparse.Namespace) -> dict:
    """Run one model in a process of its own."""
    command = [sys.executable, __file__, "--alone", name, "--likelihoods", likelihood]
    for key in ("cells", "genes", "density", "epochs", "batch_size", "precision"):
        command += [f"--{key.replace('_', '-')}", str(getattr(arguments, key))]
    command += [f"--{key}" for key in ("gpu", "compile") if getattr(arguments, key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--likelihoods", nargs="+", default=["nb", "zinb"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2, help="how often each model has its turn")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--models", nargs="+", choices=(*NAMES, COMPILED))
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile in CountVI and in the tuned SCVI")
    parser.add_argument("--precision", default="32-true", help="of all models but the floor; bf16-mixed on a GPU")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        warnings.filterwarnings("ignore")
        arguments.likelihood = arguments.likelihoods[0]
        result = floor(arguments) if arguments.alone == "floor" else train(arguments.alone, arguments)
        print(json.dumps(result))
        return
    names = arguments.models or (*NAMES, *[COMPILED][: arguments.compile])
    rows = []
    for likelihood in arguments.likelihoods:
        for turn in range(arguments.rounds):
            for name in names:
                row = {"likelihood": likelihood, "model": name, "round": turn}
                rows.append(row | run_alone(name, likelihood, arguments))
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows).groupby(["likelihood", "model"]).median(numeric_only=True).drop(columns="round")
    for likelihood, part in table.groupby(level=0):
        ours = part.loc[(likelihood, "CountVI")]
        for column in ("seconds_per_epoch", "latent_seconds"):
            table.loc[part.index, f"{column}, ratio to CountVI"] = part[column] / ours[column]
    print(table.T.to_string(float_format="{:.4g}".format))
    if arguments.out:
        import scvi
        import torch

        record = {"arguments": vars(arguments) | {"out": None}, "date": datetime.now(UTC).date().isoformat()}
        record |= {"machine": platform.platform(), "threads": torch.get_num_threads()}
        record |= {"versions": {"scvi-tools": scvi.__version__, "torch": torch.__version__}, "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
