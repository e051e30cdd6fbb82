"""Conditions under which cells are drawn: batch, label and covariates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from scgauge._core.model_protocol import Adapter, CellContext


def _codes_of(names: str | ArrayLike, known: np.ndarray, n_obs: int, what: str) -> np.ndarray:
    """Turn one name, or one for each cell, into codes."""
    wanted = np.asarray(names).astype(str)
    if wanted.ndim > 0 and len(wanted) != n_obs:
        message = f"`{what}` has {len(wanted)} entries for {n_obs} cells; pass one name or one for each cell."
        raise ValueError(message)
    codes = pd.Index(known.astype(str)).get_indexer(np.broadcast_to(wanted, n_obs))
    if (codes < 0).any():
        unknown = np.broadcast_to(wanted, n_obs)[codes < 0][0]
        message = f"{str(unknown)!r} is not a known {what}; choose from {known.tolist()}."
        raise ValueError(message)
    return codes


def set_batch(adapter: Adapter, request: Any, batch: str | ArrayLike | None) -> CellContext:
    """Return what the decoder reads for each cell, with the batches that were asked for."""
    if batch is None:
        return adapter.context(request.cells)
    codes = _codes_of(batch, adapter.categories("batch"), len(request.cells), "batch")
    if request.source == "prior":
        # Covariates go with the batch: the cell behind them is drawn from the batch itself.
        of_pool = adapter.context(request.pool).batch
        for code in np.unique(codes):
            members = request.pool[of_pool == code]
            if len(members):
                rows = codes == code
                request.cells[rows] = request.cells_rng.choice(members, rows.sum())
    return replace(adapter.context(request.cells), batch=codes)


def set_labels(adapter: Adapter, request: Any, context: CellContext, labels: str | ArrayLike | None) -> CellContext:
    """Return the context with the labels of a labelled prior."""
    if request.source != "prior":
        return context  # the request has drawn its source cells by their label
    if "labelled_prior" not in adapter.capabilities:
        if labels is not None:
            message = (
                "`labels` steer the labelled prior of SCANVI; the prior of this model knows none. "
                "Use source='aggregate', which draws from the cells of a label."
            )
            raise ValueError(message)
        return context
    known = adapter.categories("labels")
    if labels is not None:
        return replace(context, labels=_codes_of(labels, known, len(request.cells), "label"))
    # Unlabelled cells have a code behind the last label; they say nothing about proportions.
    observed = adapter.context(request.pool).labels
    observed = observed[observed < len(known)]
    unlabelled = context.labels >= len(known)
    drawn = context.labels.copy()
    drawn[unlabelled] = request.cells_rng.choice(observed, unlabelled.sum())
    return replace(context, labels=drawn)


def labels_key(adapter: Adapter) -> str:
    """Return the column of labels that the model was set up with.

    Raises
    ------
    ValueError
        If it was set up without.
    """
    key = adapter.model.registry_["setup_args"].get("labels_key")
    if key is None:
        message = "`labels` need a model that was set up with them. Run: setup_anndata(adata, labels_key=...)"
        raise ValueError(message)
    return key


def draw_by_label(
    adapter: Adapter, pool: np.ndarray, labels: np.ndarray, n_obs: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a source cell of the label that each cell asks for, ``(n_obs,)``."""
    labels_key(adapter)
    codes = _codes_of(labels, adapter.categories("labels"), n_obs, "label")
    cells = np.empty(n_obs, dtype=np.int64)
    for code in np.unique(codes):
        rows = codes == code
        cells[rows] = rng.choice(_members(adapter, pool, int(code)), rows.sum())
    return cells


def cells_of_label(adapter: Adapter, pool: np.ndarray, label: str) -> np.ndarray:
    """Return the source cells of one label."""
    labels_key(adapter)
    return _members(adapter, pool, int(_codes_of(label, adapter.categories("labels"), 1, "label")[0]))


def _members(adapter: Adapter, pool: np.ndarray, code: int) -> np.ndarray:
    members = pool[adapter.context(pool).labels == code]
    if not len(members):
        message = f"None of the {len(pool)} source cells has the label {adapter.categories('labels')[code]!r}."
        raise ValueError(message)
    return members


def set_covariates(adapter: Adapter, context: CellContext, covariates: Mapping[str, Any] | None) -> CellContext:
    """Return the context with the values of covariates that were asked for."""
    known = adapter.covariates()
    tables: dict[str, Any] = {"cat_covs": context.cat_covs, "cont_covs": context.cont_covs}
    tables = {name: None if table is None else np.array(table) for name, table in tables.items()}
    position = {"cat_covs": 0, "cont_covs": 0}
    places = {}
    for name, categories in known.items():
        table = "cont_covs" if categories is None else "cat_covs"
        places[name] = table, position[table]
        position[table] += 1
    n_obs = len(context.batch)
    for name, wanted in (covariates or {}).items():
        if name not in known:
            message = f"{name!r} is not a covariate of the model; it has {list(known)}."
            raise ValueError(message)
        table, column = places[name]
        categories = known[name]
        if categories is None:
            values = np.asarray(wanted, dtype=float)
            if values.ndim > 1 or (values.ndim and len(values) != n_obs) or not np.isfinite(values).all():
                message = f"Covariate {name!r} needs one finite number, or one for each of the {n_obs} cells."
                raise ValueError(message)
        else:
            values = _codes_of(wanted, categories, n_obs, f"value of {name!r}")
        tables[table][:, column] = values
    return replace(context, **tables)


def covariate_columns(adapter: Adapter, context: CellContext) -> dict[str, Any]:
    """Return the covariates of each cell as columns of ``obs``."""
    columns: dict[str, Any] = {}
    n_numbers = n_categories = 0
    for name, categories in adapter.covariates().items():
        if categories is None:
            columns[name] = context.cont_covs[:, n_numbers]  # type: ignore[index]
            n_numbers += 1
        else:
            columns[name] = pd.Categorical(categories[context.cat_covs[:, n_categories].astype(int)])  # type: ignore[index]
            n_categories += 1
    return columns
