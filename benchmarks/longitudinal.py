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
from scipy.linalg import expm
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


def fit(
    adata: AnnData,
    seed: int,
    *,
    epochs: int | None = None,
    plan: dict | None = None,
    instrument_key: str | None = None,
    batch_size: int = 128,
    n_starts: int = 1,
    **network: Any,
) -> Any:
    scvi.settings.seed = seed
    scgauge.model.ODEVI.setup_anndata(adata, **SETUP, instrument_key=instrument_key)
    model = scgauge.model.ODEVI(adata, gene_likelihood="normal", **network)
    model.train(
        max_epochs=epochs, train_size=1.0, batch_size=batch_size, plan_kwargs=plan, enable_progress_bar=False,
        accelerator="cpu", n_starts=n_starts,
    )  # fmt: skip
    return model


def rmse(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()))


def trajectories(design: str, seed: int, *, n_starts: int = 1) -> dict[str, Any]:
    adata = scgauge.datasets.simulate_longitudinal(design=design, rng=seed)
    begin = time.perf_counter()
    model = fit(adata, seed, dynamics="lotka_volterra" if design == "lotka-volterra" else None, n_starts=n_starts)
    seconds = time.perf_counter() - begin
    expected = true_items(adata, TIMES)
    found = model.predict_state(times=TIMES, kind="rates").X.reshape(len(TIMES), len(expected), -1).transpose(1, 0, 2)
    rows = {"part": "trajectories", "design": design, "seed": seed, "seconds": seconds, "n_starts": n_starts}
    if n_starts > 1:
        rows["losses"] = model.get_starts()["train_loss"].to_list()
    rows |= {"rmse": rmse(found, expected), "ridge": rmse(ridge(adata, TIMES), expected)}
    inner = true_items(adata, INNER)
    measured = inner + np.random.default_rng(seed).normal(0, 0.1, inner.shape)
    for name, values, observed in (("state", inner, False), ("measurement", measured, True)):
        bands = model.get_bands(times=INNER, observed=observed, rng=seed)
        rows[f"coverage_{name}"] = float(
            ((bands["lower"] <= values.ravel()) & (values.ravel() <= bands["upper"])).mean()
        )
    return rows


def starts(seed: int) -> dict[str, Any]:
    """Keep the best of three starting values, where one alone may end in wrong dynamics."""
    return trajectories("lotka-volterra", seed, n_starts=3)


def similar(seed: int, *, epochs: int = 10) -> dict[str, Any]:
    """Share of members of a batch that are of the individual's own group, at the start of each epoch."""
    adata = scgauge.datasets.simulate_longitudinal(design="linear-4", baseline="parameters", rng=seed)
    model = fit(adata, seed, epochs=epochs, plan={"n_similar": 10}, n_hidden=32)
    number = adata.obs["_scvi_subject"].to_numpy()
    first = ~adata.obs["subject"].duplicated().to_numpy()
    group = adata.obs["group"].cat.codes.to_numpy()[first][np.argsort(number[first])]
    share = [float((group[near] == group[:, None]).mean()) for near in model.module.similar_history]
    return {"part": "similar", "seed": seed, "same_group": share}


def predict_last(model: Any, past: AnnData, future: AnnData) -> np.ndarray:
    """Predict the visits of `future`, one of each subject, from those of `past` up to their times."""
    past = of_subjects(past, future.obs["subject"])
    times, column = np.unique(future.obs["time"], return_inverse=True)
    names = past.obs["subject"].drop_duplicates().astype(str).to_list()
    row = [names.index(subject) for subject in future.obs["subject"].astype(str)]
    found = model.predict_state(past, times=times, kind="rates", start="previous")[:, future.var_names]
    return np.asarray(found.X).reshape(len(times), len(names), -1)[column, row]


def taken(adata: AnnData, instrument: str) -> AnnData:
    """Visits at which an instrument was taken, its items alone."""
    mine = adata[:, adata.var["instrument"] == instrument]
    return mine[~np.isnan(mine.X).any(1)].copy()


def of_subjects(adata: AnnData, subjects: Any) -> AnnData:
    found = adata[adata.obs["subject"].isin(subjects)].copy()
    found.obs["subject"] = found.obs["subject"].cat.remove_unused_categories()
    return found


def last_visits(whole: AnnData, instrument: str) -> tuple[AnnData, AnnData]:
    """Last visit with an instrument of the subjects who took it at three or more, and their visits with it before."""
    mine = taken(whole, instrument)
    n_visits = mine.obs.groupby("subject", observed=True)["time"].size()
    mine = of_subjects(mine, n_visits.index[n_visits >= 3])
    last = ~mine.obs["subject"].duplicated(keep="last").to_numpy()
    return mine[~last].copy(), mine[last].copy()


def registry() -> AnnData:
    whole = scgauge.datasets.clinical_dummy_smartcare()
    return whole[np.lexsort((whole.obs["time"], whole.obs["subject"].cat.codes))].copy()


def next_visit(seed: int) -> dict[str, Any]:
    """Predict the last visit of each patient of the registry from those before, each instrument by itself."""
    whole = registry()
    rows: dict[str, Any] = {"part": "next_visit", "seed": seed}
    for instrument in ("test1", "test2"):
        past, future = last_visits(whole, instrument)
        rows[instrument] = {"model": rmse(predict_last(fit(past, seed), past, future), future.X), "n": len(future)}
        simple: dict[str, list] = {"last": [], "line": [], "mean": []}
        for subject, t in zip(future.obs["subject"], future.obs["time"], strict=True):
            mine = past[past.obs["subject"] == subject]
            own, items = mine.obs["time"].to_numpy(), np.asarray(mine.X)
            simple["last"].append(items[-1])
            simple["mean"].append(items.mean(0))
            slope, level = np.polyfit(own, items, 1)
            simple["line"].append(level + slope * t)
        rows[instrument] |= {name: rmse(np.stack(values), future.X) for name, values in simple.items()}
    return rows


def next_visit_of_both(seed: int, *, epochs: int | None = None) -> dict[str, Any]:
    """The same with one model of both instruments.

    It is trained on visits before the first predicted one of a patient, and predicts an instrument from all visits
    before (`model`) or, where the other one was taken at the predicted visit itself, from that too (`same_visit`,
    beside `model_there`).
    """
    whole = registry()
    futures = {instrument: last_visits(whole, instrument)[1] for instrument in ("test1", "test2")}
    ends = {instrument: future.obs.set_index("subject")["time"] for instrument, future in futures.items()}
    subject = whole.obs["subject"].astype(str)
    at = {instrument: subject.map(end.rename(index=str)).to_numpy() for instrument, end in ends.items()}
    first = np.fmin(*at.values())
    model = fit(whole[(whole.obs["time"] < first).to_numpy()].copy(), seed, instrument_key="instrument", epochs=epochs)
    rows: dict[str, Any] = {"part": "next_visit_of_both", "seed": seed}
    for instrument, future in futures.items():
        before = whole[(whole.obs["time"] < at[instrument]).to_numpy()].copy()
        rows[instrument] = {"model": rmse(predict_last(model, before, future), future.X), "n": len(future)}
        until = whole[(whole.obs["time"] <= at[instrument]).to_numpy()].copy()
        hidden = until.obs_names.isin(future.obs_names)
        until.X[np.ix_(hidden, until.var["instrument"] == instrument)] = np.nan
        until = until[~np.isnan(until.X).all(1)].copy()
        there = future[future.obs_names.isin(until.obs_names)].copy()
        for name, visits in (("model_there", before), ("same_visit", until)):
            rows[instrument][name] = rmse(predict_last(model, visits, there), there.X)
        rows[instrument]["n_there"] = len(there)
    return rows


def instruments(seed: int) -> dict[str, Any]:
    """Predict the second of two planted instruments half a unit of time after the first was taken."""
    adata = scgauge.datasets.simulate_longitudinal(100, n_visits=5, start_sd=0.5, n_instruments=2, rng=seed)
    last = ~adata.obs["subject"].duplicated(keep="last").to_numpy()
    measured = adata.layers["expected"] + np.random.default_rng(seed).normal(0, 0.1, adata.shape)
    adata.X[last] = np.where(adata.var["instrument"] == "instrument_0", measured, np.nan)[last]
    alone = taken(adata, "instrument_1")
    n_visits = alone.obs.groupby("subject", observed=True)["time"].size()
    alone = of_subjects(alone, n_visits.index[n_visits > 1])
    # What is predicted: the noise-free items of the system of each subject.
    future = of_subjects(adata[last, alone.var_names].copy(), alone.obs["subject"].cat.categories)
    future.obs["time"] += 0.5
    systems = adata.uns["scgauge_truth"]["parameters"].set_index("group").loc[future.obs["group"].astype(str)]
    matrices = systems.to_numpy(float).reshape(-1, 2, 2)
    each = zip(matrices, future.obs["time"], future.obsm["start"], strict=True)
    states = np.stack([expm(matrix * t) @ start for matrix, t, start in each])
    expected = states @ future.varm["weights"].T + future.var["offset"].to_numpy()
    rows: dict[str, Any] = {"part": "instruments", "seed": seed, "n": len(future)}
    for name, past, key in (("alone", alone, None), ("both", adata, "instrument")):
        model = fit(past, seed, instrument_key=key, batch_size=20)
        rows[name] = rmse(predict_last(model, past, future), expected)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parts = ["trajectories", "starts", "similar", "instruments", "next_visit", "next_visit_of_both"]
    parser.add_argument("--parts", nargs="+", default=parts)
    parser.add_argument("--out", type=Path, default=Path("longitudinal.json"))
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    results: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        jobs = [partial(trajectories, design, seed) for design in DESIGNS] if "trajectories" in arguments.parts else []
        jobs += [
            partial(function, seed)
            for function in (starts, similar, instruments, next_visit, next_visit_of_both)
            if function.__name__ in arguments.parts
        ]
        for job in jobs:
            results.append(job())
            print(results[-1], flush=True)
            arguments.out.write_text(json.dumps({"machine": platform.platform(), "rows": results}, indent=1))


if __name__ == "__main__":
    main()
