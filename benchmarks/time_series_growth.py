"""Two planted branches of which one multiplies: forecasts of ODEVI without and with the growth rates.

python benchmarks/time_series_growth.py --seeds 5 --out growth.json

`crossing` is the share of predicted cells that are not in the branch of their source; no cell changes it in truth.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scvi
from sklearn.neighbors import KNeighborsClassifier

import scgauge

#: The second branch multiplies threefold in two units of time.
RATES = (0.0, np.log(3) / 2)


def run(seed: int, growth_key: str | None, n_groups: int, *, epochs: int, n_flow_steps: int) -> dict[str, Any]:
    adata = scgauge.datasets.simulate_time_series(600, 40, separation=4.0, growth_rates=RATES, rng=seed)
    scvi.settings.seed = seed
    scgauge.model.ODEVI.setup_anndata(adata, time_key="time", growth_key=growth_key)
    model = scgauge.model.ODEVI(adata, n_latent=2, n_hidden=32, n_groups=n_groups)
    plan = {"n_flow_steps": n_flow_steps}
    model.train(max_epochs=epochs, plan_kwargs=plan, enable_progress_bar=False, accelerator="cpu")
    label, last = adata.obs["group"], float(adata.obs["time"].max())
    nearest = KNeighborsClassifier(15).fit(model.get_latent_representation(), label)
    cells = model.predict_state(times=[last], start="first", n_cells=1000, kind="latent", rng=0)
    there = nearest.predict(cells.X)
    return {
        "seed": seed,
        "growth": growth_key is not None,
        "n_groups": n_groups,
        "share": float(np.mean(there == "group_1")),
        "true_share": float(1 / (1 + np.exp(-RATES[1] * last))),
        "crossing": float(np.mean(there != label.loc[cells.obs["source_cell"]].to_numpy())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--flow-steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("time_series_growth.json"))
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    rows = []
    for n_groups in (1, 2):
        for growth_key in (None, "growth_rate"):
            for seed in range(arguments.seeds):
                size = {"epochs": arguments.epochs, "n_flow_steps": arguments.flow_steps}
                rows.append(run(seed, growth_key, n_groups, **size))
                print(rows[-1], flush=True)
                arguments.out.write_text(json.dumps({"machine": platform.platform(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
