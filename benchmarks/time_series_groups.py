"""Groups of simulated snapshots: learned by a mixture of dynamics, and from trajectories of one field afterwards.

python benchmarks/time_series_groups.py --seeds 5 --out groups.json

`bayes` is the best that anybody can do who knows the true courses and the spread: each cell has one snapshot only.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
import warnings
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scvi
from sklearn.metrics import adjusted_rand_score

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

#: Designs: arguments of the simulator.
DESIGNS: dict[str, dict[str, Any]] = {
    "separable": {"separation": 4.0},
    "three groups": {"separation": 5.0, "n_groups": 3},
    "overlapping": {"separation": 2.0},
    "branching": {"separation": 0.0},
}


def courses(adata: AnnData, times: np.ndarray) -> np.ndarray:
    """True states of the groups, ``(n_groups, n_times, 2)``."""
    truth = adata.uns["scgauge_truth"]["trajectories"]
    return np.stack(
        [
            np.column_stack([np.interp(times, mine["time"], mine[name]) for name in ("u1", "u2")])
            for _, mine in truth.groupby("group")
        ]
    )


def run(design: str, seed: int, *, epochs: int, n_obs: int, n_flow_steps: int) -> dict[str, Any]:
    arguments = DESIGNS[design]
    adata = scgauge.datasets.simulate_time_series(n_obs, 60, rng=seed, **arguments)
    n_groups = arguments.get("n_groups", 2)
    scvi.settings.seed = seed
    begin = time.perf_counter()
    scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    model = scgauge.model.ODEVI(adata, n_latent=2, n_groups=n_groups)
    plan = {"n_flow_steps": n_flow_steps}
    model.train(max_epochs=epochs, plan_kwargs=plan, enable_progress_bar=False, accelerator="cpu")
    seconds = time.perf_counter() - begin
    own, label = adata.obs["time"].to_numpy(), adata.obs["group"].cat.codes.to_numpy()
    times = np.unique(own)
    true = courses(adata, times)
    at = true[:, np.searchsorted(times, own)]
    bayes = np.square(adata.obsm["latent"] - at).sum(-1).argmin(0)
    found = model.get_groups()["group"].cat.codes.to_numpy()
    z = np.column_stack([model.get_latent_representation(), np.ones(adata.n_obs)])
    onto = np.linalg.lstsq(z, adata.obsm["latent"], rcond=None)[0]
    paths = model.get_group_trajectories(times=times) @ onto[:2] + onto[2]
    error = np.sqrt(np.square(paths[:, None] - true[None]).mean((2, 3)))
    best = min(permutations(range(n_groups)), key=lambda order: sum(error[k, j] for j, k in enumerate(order)))
    extent = np.ptp(true)
    late = own >= times[-2]
    return {
        "design": design,
        "seed": seed,
        "seconds": seconds,
        "ari": adjusted_rand_score(label, found),
        "ari_bayes": adjusted_rand_score(label, bayes),
        "ari_late": adjusted_rand_score(label[late], found[late]),
        "rmse_over_range": [float(error[k, j] / extent) for j, k in enumerate(best)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--flow-steps", type=int, default=2000)
    parser.add_argument("--cells", type=int, default=600)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS))
    parser.add_argument("--out", type=Path, default=Path("time_series_groups.json"))
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    results = []
    for design in arguments.designs:
        for seed in range(arguments.seeds):
            size = {"epochs": arguments.epochs, "n_obs": arguments.cells, "n_flow_steps": arguments.flow_steps}
            results.append(run(design, seed, **size))
            print(results[-1], flush=True)
            arguments.out.write_text(json.dumps({"machine": platform.platform(), "rows": results}, indent=1))


if __name__ == "__main__":
    main()
