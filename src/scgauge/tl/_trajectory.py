from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scgauge._core.adapter import shell
from scgauge._core.checks import check_adata, check_obs_numbers
from scgauge._core.keys import TRAJECTORY
from scgauge._core.rng import RNG, generator, same_torch_state
from scgauge._core.store import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import ArrayLike


def need_dynamics(model: Any) -> None:
    """Raise TypeError unless a model has dynamics in real time, RuntimeError unless it is trained."""
    if isinstance(model, type) or not hasattr(model, "get_trajectories"):
        message = f"`model` is {type(model).__name__}, which has no dynamics. Pass a trained scgauge.model.ODEVI."
        raise TypeError(message)
    if not model.is_trained:
        message = f"The {type(model).__name__} model is not trained. Run: model.train()"
        raise RuntimeError(message)


def trajectory(
    adata: AnnData,
    model: Any,
    *,
    times: ArrayLike | None = None,
    n_cells: int = 200,
    rng: RNG = None,
    key_added: str = TRAJECTORY,
    copy: bool = False,
) -> AnnData | None:
    """Follow cells of the first snapshot, or individuals, through time along learnt dynamics.

    Draw the result with :func:`scgauge.pl.trajectory`.

    Parameters
    ----------
    adata
        Cells that the model was trained on or others with its genes and columns.
    model
        Trained :class:`scgauge.model.ODEVI`.
    times
        Times to pass through; 41 from the first to the last training time if ``None``.
    n_cells
        Most cells to follow, drawn from the first snapshot; of a model of individuals, most individuals.
    rng
        Seed or Generator of the draw.
    key_added
        Key in ``adata.uns`` of the paths, in ``adata.obsm`` of the latent points after ``"X_"``.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"X_{key_added}"]`` : :class:`numpy.ndarray`
        Latent mean of every cell, ``(n_obs, n_latent)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call and ``"time_key"``. ``"times"``: the times, ``(n_times,)``.
        ``"cells"``: rows and names of the cells that are followed. ``"paths"``: their latent points,
        ``(n_cells, n_times, n_latent)``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or the model has no dynamics.
    RuntimeError
        If the model is not trained.
    ValueError
        If times are not finite numbers, or ``n_cells`` is not a positive integer.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(90, 30, times=(0, 1, 2), rng=0)
    >>> scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    >>> model = scgauge.model.ODEVI(adata, n_latent=2)
    >>> model.train(max_epochs=2, plan_kwargs={"n_flow_steps": 5}, enable_progress_bar=False)
    >>> scgauge.tl.trajectory(adata, model, n_cells=10, rng=0)
    >>> adata.uns["trajectory"]["paths"].shape
    (10, 41, 2)
    """
    check_adata(adata)
    need_dynamics(model)
    if not isinstance(n_cells, int | np.integer) or n_cells < 1:
        message = f"n_cells={n_cells!r} was given; an integer of at least 1 is needed."
        raise ValueError(message)
    known = model.training_times
    grid = np.linspace(known[0], known[-1], 41) if times is None else np.atleast_1d(np.asarray(times))
    time_key = model.registry_["setup_args"]["time_key"]
    own = check_obs_numbers(adata, time_key, argument="time_key")
    subject_key = model.registry_["setup_args"].get("subject_key")
    if subject_key is None:
        first = np.flatnonzero(own == own.min())
    else:
        first = np.flatnonzero(~adata.obs[subject_key].duplicated().to_numpy())
    drawn = np.sort(generator(rng).choice(first, min(n_cells, len(first)), replace=False))
    with reading(adata, model) as (data, latent):
        paths = model.get_trajectories(data, times=grid, indices=drawn)
    result = {
        "params": {"n_cells": n_cells, "rng": rng, "time_key": time_key},
        "times": np.asarray(grid, dtype=float),
        "cells": pd.DataFrame({"index": drawn, "cell": adata.obs_names[drawn].astype(str)}),
        "paths": paths,
    }
    return store(adata, copy=copy, obsm={f"X_{key_added}": latent}, uns={key_added: result})


@contextmanager
def reading(adata: AnnData, model: Any) -> Iterator[tuple[AnnData | None, np.ndarray]]:
    """Give what to hand to a model for some cells, and their latent means.

    For the model's own cells that is ``None``, else a shell into which scvi-tools may write. scvi-tools notes on the
    console that it sets up other data, and its encoder draws numbers: both are kept from the caller.
    """
    logger = logging.getLogger("scvi")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        with same_torch_state():
            data = None if adata is model.adata else shell(adata)
            yield data, np.asarray(model.get_latent_representation(data))
    finally:
        logger.setLevel(level)
