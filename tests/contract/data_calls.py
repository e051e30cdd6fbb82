"""Calls of the checks of data before and beside a model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from anndata import AnnData
from contract.calls import Call, cells, model, points

import scgauge

LABELS = {"x_labels": ["a", "b"] * 20, "y_labels": ["a", "b"] * 20}
CODE = scgauge.datasets.mhd4_codebook()
GENE_SETS = {"one": [f"gene{i}" for i in range(6)], "two": [f"gene{i}" for i in range(5, 12)]}
LENGTHS = np.arange(12) * 100.0 + 500


def spots() -> tuple[AnnData]:
    read = CODE[[3, 3, 8, 9]].astype("float32")
    read[1, 0] = 1 - read[1, 0]
    read[3, :2] = 1 - read[3, :2]
    return (AnnData(read),)


def shifted() -> tuple[scgauge.tl.DistributionShift]:
    return (scgauge.tl.distribution_shift(cells(0), cells(1), labels_key="group", n_permutations=19, rng=0),)


def with_correlations() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.spurious_correlation(adata, target="group", n_permutations=19, rng=0)
    return (adata,)


def fit_few(adata: AnnData, seed: int) -> scgauge.model.CountVI:
    """Trained just enough to be asked; the same for every seed."""
    scgauge.model.CountVI.setup_anndata(adata)
    trained = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    trained.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    return trained


RESPONSE = {"condition_key": "batch", "control": "one", "treated": "two", "labels_key": "group", "label": "a"}


@cache
def without_response() -> scgauge.model.CountVI:
    adata = cells()
    known = adata[~((adata.obs["batch"] == "two") & (adata.obs["group"] == "a"))].copy()
    return fit_few(known, 0)


def predicted() -> tuple[AnnData]:
    return (scgauge.tl.latent_arithmetic(cells(), without_response(), **RESPONSE, n_top_genes=3, rng=0),)


def imputation_scores() -> tuple[pd.DataFrame]:
    rows = [("model", "skill", 0.1, 0.01), ("model", "genes_better", 0.8, np.nan)]
    return (pd.DataFrame(rows, columns=["method", "statistic", "value", "se"]),)


def inferred() -> tuple[pd.DataFrame]:
    return (scgauge.tl.single_gene_inference(cells(), graph=GENE_SETS, n_genes=4, n_random=2, rng=0, progress=False),)


def gains() -> tuple[pd.DataFrame]:
    rows = [(0, n, added, "auc", 0.8) for n in (5, 10) for added in ("nothing", "copies")]
    return (pd.DataFrame(rows, columns=["repeat", "n_kept", "added", "statistic", "value"]),)


CALLS: dict[str, Call] = {
    "datasets.mhd4_codebook": Call(data=tuple, bad={"n_bits": 8}, error=TypeError, match="n_bits"),
    "metrics.call_rates": Call(data=lambda: (CODE,), bad={"loss": 2.0}, match="loss=2.0"),
    "metrics.decode_barcodes": Call(data=lambda: (CODE, CODE), bad={"max_errors": 2}, match="max_errors=2"),
    "metrics.conditional_shift": Call(
        data=lambda: (points(0), points(1)),
        kwargs={**LABELS, "n_permutations": 19, "rng": 0},
        bad={"min_points": 1},
        match="min_points=1",
    ),
    "metrics.excess_loss": Call(
        data=lambda: (points(0), points(1)), kwargs={**LABELS, "rng": 0}, bad={"n_folds": 1}, match="n_folds=1"
    ),
    "metrics.label_shift": Call(
        data=lambda: (["a", "b"], ["a", "b"]),
        kwargs={"rng": 0},
        bad={"n_permutations": 0},
        match="n_permutations=0",
    ),
    "metrics.mean_decomposition": Call(
        data=lambda: (points(0), points(1)), kwargs=LABELS, bad={"x_labels": None}, match="one sample only"
    ),
    "metrics.rewire_graph": Call(
        data=lambda: (np.array([[0, 1], [2, 3], [4, 5]]),),
        kwargs={"rng": 0},
        bad_data=lambda: (np.array([[0, 1], [1, 0]]),),
        match="occur twice",
    ),
    "metrics.spurious_correlation": Call(
        data=lambda: (points(), points(1)[:, 0]),
        kwargs={"n_permutations": 19, "rng": 0},
        bad={"n_permutations": 0},
        match="n_permutations=0",
    ),
    "metrics.thin_counts": Call(data=lambda: (cells().X,), kwargs={"rng": 0}, bad={"fraction": 0}, match="fraction=0"),
    "pl.augmentation_gain": Call(
        data=gains, kwargs={"statistic": "auc"}, bad={"statistic": "loss"}, match="statistic='loss'"
    ),
    "pl.imputation_score": Call(data=imputation_scores, bad_data=gains, error=TypeError, match="no result"),
    "pl.distribution_shift": Call(data=shifted, bad_data=lambda: ({},), error=TypeError, match="dict"),
    "pl.latent_arithmetic": Call(data=predicted, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pl.single_gene_inference": Call(data=inferred, bad_data=gains, error=TypeError, match="no result"),
    "pl.spurious_correlation": Call(data=with_correlations, bad={"key": "nowhere"}, error=KeyError, match="nowhere"),
    "pp.rpkm": Call(
        data=lambda: (cells(),),
        kwargs={"lengths": LENGTHS},
        bad={"lengths": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "pp.tpm": Call(
        data=lambda: (cells(),),
        kwargs={"lengths": LENGTHS},
        bad={"lengths": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "tl.augmentation_gain": Call(
        data=lambda: (cells(),),
        kwargs={"fit": fit_few, "labels_key": "group", "label": "a", "sizes": [3], "n_added": 5, "n_repeats": 1}
        | {"rng": 0, "progress": False},
        bad={"sizes": [50]},
        match="sizes",
    ),
    "tl.imputation_score": Call(
        data=lambda: (cells(),),
        kwargs={"fit": fit_few, "n_neighbors": 3, "n_samples": 2, "rng": 0, "progress": False},
        bad={"n_neighbors": 40},
        match="n_neighbors=40",
    ),
    "tl.decode_barcodes": Call(data=spots, kwargs={"codebook": CODE}, bad={"genes": ["Actb"]}, match="140 different"),
    "tl.impute": Call(
        data=lambda: (cells(), model()),
        kwargs={"n_samples": 2, "rng": 0, "progress": False},
        bad={"mask": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
    "tl.distribution_shift": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"labels_key": "group", "n_permutations": 19, "rng": 0, "progress": False},
        bad={"alpha": 2},
        match="alpha=2",
    ),
    "tl.latent_arithmetic": Call(
        data=lambda: (cells(), without_response()), kwargs={**RESPONSE, "rng": 0}, bad={"label": "z"}, match="'z'"
    ),
    "tl.single_gene_inference": Call(
        data=lambda: (cells(),),
        kwargs={"graph": GENE_SETS, "n_genes": 4, "n_random": 2, "rng": 0, "progress": False},
        bad={"n_folds": 1},
        match="n_folds=1",
    ),
    "tl.spurious_correlation": Call(
        data=lambda: (cells(),),
        kwargs={"target": "group", "n_permutations": 19, "rng": 0},
        bad={"target": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
}
