"""How often constructed shifts between two sets of cells are named right, and real ones.

Run with

    python benchmarks/distribution_shift.py --out results.json [--n-simulations 100] [--real]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

KINDS = ("null", "covariate", "prior", "concept")


def labels_of(latent: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three labels, drawn from a softmax of the latent state: P(y|x) is known and not 0 or 1."""
    return np.argmax(latent @ weights + rng.gumbel(size=(len(latent), weights.shape[1])), axis=1)


def constructed(kind: str, seed: int, n_cells: int = 400) -> tuple[AnnData, AnnData]:
    """Two sets of cells of one population between which exactly one thing differs."""
    rng = np.random.default_rng(seed)
    pool = scgauge.datasets.simulate_counts(
        8 * n_cells, 60, n_latent=3, n_groups=1, library_size=3000, dispersion=20, rng=seed
    )
    latent, weights = pool.obsm["latent"], 2 * np.eye(3)
    labels = labels_of(latent, weights, rng)
    chance = np.ones(pool.n_obs)
    if kind == "covariate":
        chance = 1 / (1 + np.exp(-1.5 * latent[:, 0]))
    elif kind == "prior":
        chance = np.array([1.0, 0.6, 0.3])[labels]
    chosen = rng.permutation(pool.n_obs)
    first, rest = chosen[:n_cells], chosen[n_cells:]
    second = rng.choice(rest, n_cells, replace=False, p=chance[rest] / chance[rest].sum())
    if kind == "concept":
        turned = weights.copy()
        turned[:2, :2] = [[1, 1], [1, 1]]  # two of the labels no longer depend on what told them apart
        labels[second] = labels_of(latent[second], turned, rng)
    pool.obs["label"] = pd.Categorical(labels.astype(str))
    return pool[first].copy(), pool[second].copy()


def simulations(n_simulations: int) -> list[dict]:
    rows = []
    for kind in KINDS:
        named = {"covariate": 0, "prior": 0, "concept": 0, "none": 0, "right": 0}
        start = time.perf_counter()
        for seed in range(n_simulations):
            result = scgauge.tl.distribution_shift(
                *constructed(kind, seed), labels_key="label", n_permutations=499, rng=seed, progress=False
            )
            found = set(result.shifts.loc[result.shifts["found"], "shift"])
            for name in found or {"none"}:
                named[name] += 1
            named["right"] += found == (set() if kind == "null" else {kind})
        rows.append({"constructed": kind, "n": n_simulations, **named, "seconds": time.perf_counter() - start})
        print(rows[-1], flush=True)
    return rows


def real() -> dict[str, dict]:
    """Patients without labels, species with labels."""
    results = {}
    covid = scgauge.datasets.covid_balf_liao2020()
    parts = [covid[covid.obs["patient"] == patient].copy() for patient in ("C144", "C146")]
    results["COVID C144, C146"] = tables(scgauge.tl.distribution_shift(*parts, n_permutations=199, rng=0))
    named = 0
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(parts[0].n_obs)[:800]
        halves = parts[0][rows[:400]].copy(), parts[0][rows[400:]].copy()
        found = scgauge.tl.distribution_shift(*halves, n_permutations=199, rng=seed).shifts["found"]
        named += bool(found.any())
    results["COVID C144, 20 pairs of 400 random cells"] = {"named": named}
    print(results["COVID C144, 20 pairs of 400 random cells"], flush=True)
    pancreas = scgauge.datasets.baron_cider()
    species = [pancreas[pancreas.obs["species"] == name].copy() for name in ("human", "mouse")]
    results["pancreas human, mouse"] = tables(
        scgauge.tl.distribution_shift(*species, labels_key="cell_type", n_permutations=999, rng=0)
    )
    return results


def tables(result: scgauge.tl.DistributionShift) -> dict:
    genes = result.genes[result.genes["part"].isin(["total", "within", "composition"])]
    strongest = genes.sort_values("z", key=np.abs, ascending=False).groupby("part").head(8)
    print(result.shifts.drop(columns="reading").to_string(), result.tests.to_string(), sep="\n", flush=True)
    print(strongest.sort_values("part").to_string(), flush=True)
    frames = {"shifts": result.shifts, "tests": result.tests, "questions": result.questions, "genes": strongest}
    return {name: frame.to_dict("records") for name, frame in frames.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-simulations", type=int, default=100)
    parser.add_argument("--only-real", action="store_true", help="only the real sets")
    parser.add_argument("--real", action="store_true", help="also the real sets")
    arguments = parser.parse_args()
    results: dict = {} if arguments.only_real else {"simulations": simulations(arguments.n_simulations)}
    if arguments.real or arguments.only_real:
        results["real"] = real()
    arguments.out.write_text(json.dumps(results, indent=1, default=float))


if __name__ == "__main__":
    main()
