"""Two-sample statistics, log odds ratios and marginals: time and memory, and dcor where it can run.

Each task runs in a process of its own, so that its peak memory is its own. Run with

    python benchmarks/two_sample.py --out results.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable


def points(n: int, p: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, p)), rng.normal(size=(n, p))


def scgauge_test(n: int, n_permutations: int, method: str) -> Callable[[], dict]:
    from scgauge.metrics import two_sample_test

    x, y = points(n)

    def run() -> dict:
        result = two_sample_test(x, y, n_permutations=n_permutations, method=method, rng=0)
        return {"statistic": result.statistic, "pvalue": result.pvalue, "method": result.method, "error": result.error}

    return run


def dcor_test(n: int, _: int, __: str) -> Callable[[], dict]:
    import dcor

    x, y = points(n)
    return lambda: {"statistic": float(dcor.homogeneity.energy_test_statistic(x, y))}


def log_odds(n: int, p: int, _: str) -> Callable[[], dict]:
    from scgauge.metrics import log_odds_ratio

    x = sparse.random(n, p, density=0.2, format="csr", rng=np.random.default_rng(0))
    x.data[:] = 1
    return lambda: {"mean": float(np.nanmean(log_odds_ratio(x).log_odds))}


def marginals(n: int, p: int, _: str) -> Callable[[], dict]:
    """Stream cells through the marginals as a matrix that makes its blocks when they are read."""
    from scgauge.metrics import gene_marginals

    class Stream:
        shape = (n, p)

        def __getitem__(self, rows: slice) -> sparse.csr_matrix:
            rng = np.random.default_rng(rows.start)
            return sparse.csr_matrix(rng.poisson(0.3, (rows.stop - rows.start, p)).astype(np.float32))

    return lambda: {"mean": float(gene_marginals(Stream(), block_size=10_000).mean.mean())}


TASKS = {
    "energy 3k": (scgauge_test, 3_000, 0, "exact"),
    "dcor 3k": (dcor_test, 3_000, 0, ""),
    "energy 10k": (scgauge_test, 10_000, 0, "exact"),
    "dcor 10k": (dcor_test, 10_000, 0, ""),
    "energy 10k, 199 permutations": (scgauge_test, 10_000, 199, "exact"),
    "energy 10k, sliced": (scgauge_test, 10_000, 0, "sliced"),
    "energy 100k, sliced": (scgauge_test, 100_000, 0, "auto"),
    "energy 100k, sliced, 199 permutations": (scgauge_test, 100_000, 199, "auto"),
    "log odds 20k x 2000": (log_odds, 20_000, 2_000, ""),
    "marginals 100k x 200": (marginals, 100_000, 200, ""),
    "marginals 1M x 200": (marginals, 1_000_000, 200, ""),
}


def measure(name: str, queue: multiprocessing.Queue) -> None:
    make, first, second, third = TASKS[name]
    run = make(first, second, third)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    queue.put({"task": name, "seconds": round(seconds, 2), "growth_gb": round((after - before) / 2**20, 3), **result})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for name in arguments.tasks:
        queue = context.Queue()
        process = context.Process(target=measure, args=(name, queue))
        process.start()
        process.join()
        # A task that was killed for its memory leaves nothing in the queue.
        rows.append(queue.get() if process.exitcode == 0 else {"task": name, "failed": process.exitcode})
        print(rows[-1], flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": platform.platform(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
