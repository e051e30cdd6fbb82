"""Scores of embeddings: time and memory against scikit-learn and ZADU.

Each task runs in a process of its own, so that its peak memory is its own. Run with

    python benchmarks/embedding.py --out results.json
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

if TYPE_CHECKING:
    from collections.abc import Callable

K = 15


def points(n: int, p: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """A curved sheet with noise, and an embedding that shows it with errors."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 2))
    x = np.tanh(z @ rng.normal(size=(2, p))) + 0.3 * rng.normal(size=(n, p))
    return x, z + 0.1 * rng.normal(size=z.shape)


def ours(n: int) -> Callable[[], dict]:
    from scgauge.metrics import embedding_quality

    x, y = points(n)

    def run() -> dict:
        scores = embedding_quality(x, y, n_neighbors=K, rng=0).scores.set_index("metric")
        return scores["value"].to_dict() | {f"{name}_se": scores["se"][name] for name in ("recall", "trustworthiness")}

    return run


def sklearn_trustworthiness(n: int) -> Callable[[], dict]:
    from sklearn.manifold import trustworthiness

    x, y = points(n)
    return lambda: {
        "trustworthiness": trustworthiness(x, y, n_neighbors=K),
        "continuity": trustworthiness(y, x, n_neighbors=K),
    }


def zadu_all(n: int) -> Callable[[], dict]:
    from zadu import zadu as module

    x, y = points(n)
    spec = [{"id": "tnc", "params": {"k": K}}, {"id": "lcmc", "params": {"k": K}}]
    return lambda: {key: value for part in module.ZADU(spec, x).measure(y) for key, value in part.items()}


def distortion(n: int) -> Callable[[], dict]:
    from scgauge.metrics import embedding_distortion

    x, y = points(n)
    return lambda: {"anisotropy": float(np.median(embedding_distortion(x, y).anisotropy))}


TASKS = {
    "scgauge 10k": (ours, 10_000),
    "ZADU trustworthiness, continuity, LCMC 10k": (zadu_all, 10_000),
    "scikit-learn trustworthiness both ways 10k": (sklearn_trustworthiness, 10_000),
    "scgauge 100k, 1000 query rows": (ours, 100_000),
    "scgauge distortion 10k": (distortion, 10_000),
}


def measure(name: str, queue: multiprocessing.Queue) -> None:
    make, n = TASKS[name]
    run = make(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    result = run()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    numbers = {key: float(value) for key, value in result.items() if np.ndim(value) == 0}
    queue.put(
        {"task": name, "seconds": seconds, "cpu_seconds": cpu_seconds, "gib_added": (after - before) / 2**20} | numbers
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = []
    for name in args.tasks:
        queue = context.Queue()
        process = context.Process(target=measure, args=(name, queue))
        process.start()
        results.append(queue.get())
        process.join()
        print(json.dumps(results[-1]), flush=True)
    args.out.write_text(json.dumps({"machine": platform.platform(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
