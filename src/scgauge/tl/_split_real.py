"""Which real cells a model has learnt from, and which it has never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_same_genes
from scgauge._core.matrix import as_rows, get_matrix

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.matrix import Matrix


def rows_in_order(adata: AnnData, layer: str | None, rows: np.ndarray | None = None) -> Matrix:
    """Return some rows of a matrix of an AnnData, in memory."""
    matrix = as_rows(get_matrix(adata, layer))
    return matrix if rows is None else matrix[rows]


def split_real(
    real: AnnData, holdout: AnnData | None, model: Any, rng: np.random.Generator
) -> tuple[AnnData, AnnData, str]:
    """Return training cells, cells held out, and how they were told apart.

    Parameters
    ----------
    real
        Real cells.
    holdout
        Real cells that the model has not seen, or ``None``.
    model
        Model that was trained on some of `real`, or ``None``.
    rng
        Draws the half that stands in where neither is given.

    Raises
    ------
    TypeError
        If ``holdout`` is not an AnnData.
    ValueError
        If both are given; if `real` and `holdout` share cells or differ in genes; if the model was trained on other
        cells or has none that it did not see.
    """
    if holdout is not None and model is not None:
        message = "Pass `holdout` or `model`, not both: the model names its validation cells itself."
        raise ValueError(message)
    if holdout is not None:
        check_adata(holdout, name="holdout")
        holdout = check_same_genes(real, holdout, names=("real", "holdout"))
        shared = real.obs_names.intersection(holdout.obs_names)
        if len(shared):
            message = (
                f"`real` and `holdout` share {len(shared)} cell names, for example {shared[0]!r}; cells held out "
                "must not be among those that the model has learnt from."
            )
            raise ValueError(message)
        return real, holdout, "given"
    if model is not None:
        train, unseen = cells_of_model(real, model)
        return real[train], real[unseen], "validation cells of the model"
    order = rng.permutation(real.n_obs)
    half = real.n_obs // 2
    return real[np.sort(order[:half])], real[np.sort(order[half:])], "random half of real"


def cells_of_model(real: AnnData, model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `real` of the cells that a model was trained on, and of those it was not."""
    adapter = adapt(model)
    train = adapter.training_cells()
    if adapter.model.adata.n_obs != real.n_obs or not adapter.model.adata.obs_names.equals(real.obs_names):
        message = (
            f"`real` has {real.n_obs} cells and the data of `model` {adapter.model.adata.n_obs}; both need the same "
            "cells in the same order. Pass the cells that the model was set up with, or `holdout=` instead."
        )
        raise ValueError(message)
    unseen = np.setdiff1d(np.arange(real.n_obs), train)
    if len(unseen) == 0:
        message = "`model` was trained on all of its cells. Train it with train_size=0.8, or pass `holdout=`."
        raise ValueError(message)
    return train, unseen
