"""Calls of the checks of data before and beside a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from contract.calls import Call, cells, points

import scgauge

if TYPE_CHECKING:
    from anndata import AnnData

LABELS = {"x_labels": ["a", "b"] * 20, "y_labels": ["a", "b"] * 20}
LENGTHS = np.arange(12) * 100.0 + 500


def shifted() -> tuple[scgauge.tl.DistributionShift]:
    return (scgauge.tl.distribution_shift(cells(0), cells(1), labels_key="group", n_permutations=19, rng=0),)


def with_correlations() -> tuple[AnnData]:
    adata = cells()
    scgauge.tl.spurious_correlation(adata, target="group", n_permutations=19, rng=0)
    return (adata,)


CALLS: dict[str, Call] = {
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
    "metrics.spurious_correlation": Call(
        data=lambda: (points(), points(1)[:, 0]),
        kwargs={"n_permutations": 19, "rng": 0},
        bad={"n_permutations": 0},
        match="n_permutations=0",
    ),
    "pl.distribution_shift": Call(data=shifted, bad_data=lambda: ({},), error=TypeError, match="dict"),
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
    "tl.distribution_shift": Call(
        data=lambda: (cells(0), cells(1)),
        kwargs={"labels_key": "group", "n_permutations": 19, "rng": 0, "progress": False},
        bad={"alpha": 2},
        match="alpha=2",
    ),
    "tl.spurious_correlation": Call(
        data=lambda: (cells(),),
        kwargs={"target": "group", "n_permutations": 19, "rng": 0},
        bad={"target": "nowhere"},
        error=KeyError,
        match="nowhere",
    ),
}
