"""ODEVI on individuals: trajectories, similar individuals and bands on simulated designs; next visits of a registry.

SCGAUGE_DATA_DIR=... python benchmarks/longitudinal.py --seeds 5 --parts trajectories similar --out results.json
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scvi
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

DESIGNS = ("linear-2", "linear-4", "lotka-volterra")
SETUP = {"time_key": "time", "subject_key": "subject", "baseline_obsm_key": "baseline"}
#: Times at which trajectories are compared, and inner ones at which new measurements are.
TIMES, INNER = np.arange(11.0), np.arange(1.0, 10.0)


def true_items(adata: AnnData, times: np.ndarray) -> np.ndarray:
    """Noise-free items, ``(n_subjects, n_times, n_items)``."""
    table = adata.uns["scgauge_truth"]["trajectories"].set_index(["group", "time"])
    groups = adata.obs.loc[~adata.obs["subject"].duplicated(), "group"].astype(str)
    states = np.stack([table.loc[group].loc[times].to_numpy() for group in groups])
    return states[:, :, (adata.var["state"] == "u2").to_numpy().astype(int)] + adata.var["offset"].to_numpy()


def ridge(adata: AnnData, times: np.ndarray) -> np.ndarray:
    """Ridge regression of the items on baseline, baseline x time, baseline x time squared, and powers of time."""

    def features(baseline: np.ndarray, t: np.ndarray) -> np.ndarray:
        column = t[:, None]
        return np.column_stack([baseline, baseline * column, baseline * column**2, t, t**2, t**3])

    baseline = adata.obsm["baseline"].to_numpy()
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 30)))
    model.fit(features(baseline, adata.obs["time"].to_numpy()), adata.X)
    first = baseline[~adata.obs["subject"].duplicated().to_numpy()]
    return np.stack([model.predict(features(first, np.full(len(first), t))) for t in times], 1)


def fit(adata: AnnData, seed: int, *, epochs: int | None = None, plan: dict | None = None, **network: Any) -> Any:
    scvi.settings.seed = seed
    scgauge.model.ODEVI.setup_anndata(adata, **SETUP)
    model = scgauge.model.ODEVI(adata, gene_likelihood="normal", **network)
    model.train(max_epochs=epochs, train_size=1.0, plan_kwargs=plan, enable_progress_bar=False, accelerator="cpu")
    return model


def rmse(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()))


def trajectories(design: str, seed: int) -> dict[str, Any]:
    adata = scgauge.datasets.simulate_longitudinal(design=design, rng=seed)
    begin = time.perf_counter()
    model = fit(adata, seed, dynamics="lotka_volterra" if design == "lotka-volterra" else None)
    seconds = time.perf_counter() - begin
    expected = true_items(adata, TIMES)
    found = model.predict_state(times=TIMES, kind="rates").X.reshape(len(TIMES), len(expected), -1).transpose(1, 0, 2)
    rows = {"part": "trajectories", "design": design, "seed": seed, "seconds": seconds}
    rows |= {"rmse": rmse(found, expected), "ridge": rmse(ridge(adata, TIMES), expected)}
    inner = true_items(adata, INNER)
    measured = inner + np.random.default_rng(seed).normal(0, 0.1, inner.shape)
    for name, values, observed in (("state", inner, False), ("measurement", measured, True)):
        bands = model.get_bands(times=INNER, observed=observed, rng=seed)
        rows[f"coverage_{name}"] = float(
            ((bands["lower"] <= values.ravel()) & (values.ravel() <= bands["upper"])).mean()
        )
    return rows


def similar(seed: int, *, epochs: int = 10) -> dict[str, Any]:
    """Share of members of a batch that are of the individual's own group, at the start of each epoch."""
    adata = scgauge.datasets.simulate_longitudinal(design="linear-4", baseline="parameters", rng=seed)
    model = fit(adata, seed, epochs=epochs, plan={"n_similar": 10}, n_hidden=32)
    number = adata.obs["_scvi_subject"].to_numpy()
    first = ~adata.obs["subject"].duplicated().to_numpy()
    group = adata.obs["group"].cat.codes.to_numpy()[first][np.argsort(number[first])]
    share = [float((group[near] == group[:, None]).mean()) for near in model.module.similar_history]
    return {"part": "similar", "seed": seed, "same_group": share}


def next_visit(seed: int) -> dict[str, Any]:
    """Predict the last visit of each patient of the registry from those before, per instrument."""
    whole = scgauge.datasets.clinical_dummy_smartcare()
    rows: dict[str, Any] = {"part": "next_visit", "seed": seed}
    for instrument in ("test1", "test2"):
        adata = whole[:, whole.var["instrument"] == instrument].copy()
        adata = adata[~np.isnan(adata.X).any(1)].copy()
        order = np.lexsort((adata.obs["time"], adata.obs["subject"].cat.codes))
        adata = adata[order].copy()
        size = adata.obs.groupby("subject", observed=True)["time"].transform("size").to_numpy()
        adata = adata[size >= 3].copy()
        adata.obs["subject"] = adata.obs["subject"].cat.remove_unused_categories()
        last = ~adata.obs["subject"].duplicated(keep="last").to_numpy()
        past, future = adata[~last].copy(), adata[last]
        model = fit(past, seed)
        found = np.stack(
            [
                model.predict_state(
                    past[past.obs["subject"] == subject].copy(), times=[t], kind="rates", start="previous"
                ).X[0]
                for subject, t in zip(future.obs["subject"], future.obs["time"], strict=True)
            ]
        )
        simple = {"last": [], "line": [], "mean": []}
        for subject, t in zip(future.obs["subject"], future.obs["time"], strict=True):
            mine = past[past.obs["subject"] == subject]
            own, items = mine.obs["time"].to_numpy(), np.asarray(mine.X)
            simple["last"].append(items[-1])
            simple["mean"].append(items.mean(0))
            slope, level = np.polyfit(own, items, 1)
            simple["line"].append(level + slope * t)
        rows[instrument] = {"model": rmse(found, future.X), "n": int(last.sum())}
        rows[instrument] |= {name: rmse(np.stack(values), future.X) for name, values in simple.items()}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", default=["trajectories", "similar", "next_visit"])
    parser.add_argument("--out", type=Path, default=Path("longitudinal.json"))
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    results: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        jobs = [partial(trajectories, design, seed) for design in DESIGNS] if "trajectories" in arguments.parts else []
        jobs += [partial(function, seed) for function in (similar, next_visit) if function.__name__ in arguments.parts]
        for job in jobs:
            results.append(job())
            print(results[-1], flush=True)
            arguments.out.write_text(json.dumps({"machine": platform.platform(), "rows": results}, indent=1))


if __name__ == "__main__":
    main()
