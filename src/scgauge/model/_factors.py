"""Loadings of any model with a linear decoder: rotated, ordered, oriented; asked through the adapter alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.stats import norm
from scvi import REGISTRY_KEYS

from scgauge._core.adapter import CELLS_AT_ONCE
from scgauge._core.compat import ADATA_MINIFY_TYPE
from scgauge._core.matrix import as_rows
from scgauge.metrics import varimax
from scgauge.nn import likelihood

if TYPE_CHECKING:
    from scgauge._core.model_protocol import Adapter

Rotation = Literal["varimax", "svd"]
Order = Literal["explained"]

#: Cells whose covariance is taken, at most.
N_CELLS_COVARIANCE = 10_000
#: Cells on which the explained deviance is measured, at least and at most, and the entries that it may decode between.
N_CELLS, N_ENTRIES = (200, 2000), 2 * 10**8


@dataclass(frozen=True)
class Factors:
    """Factors of a linear model, in the order and orientation that was asked for.

    Attributes
    ----------
    loadings
        ``(n_genes, n_factors)``, with names.
    rotation
        Matrix that latent points are multiplied with from the right, ``(n_latent, n_factors)``, with names; loadings
        are multiplied with the transpose of its inverse.
    explained
        Share of the explained deviance of each factor; ``None`` unless it was needed.
    intervals
        Posterior of each loading: ``factor``, ``gene``, ``loading``, ``sd``, ``lower``, ``upper``,
        ``probability_positive`` and ``local_false_sign_rate``; ``None`` for a model without one.
    """

    loadings: pd.DataFrame
    rotation: pd.DataFrame
    explained: pd.Series | None
    intervals: pd.DataFrame | None = None


def factors_of(
    adapter: Adapter,
    *,
    centered: bool = True,
    rotation: Rotation | np.ndarray | None = None,
    order: Order | None = "explained",
    interval: float = 0.9,
) -> Factors:
    """Return the factors of a model with a linear decoder.

    Raises
    ------
    TypeError
        If the decoder of the model is not linear.
    ValueError
        If an argument has another value, or factors that have a meaning of their own would be rotated.
    """
    turn = rotation_of(adapter, rotation)
    if order not in (None, *get_args(Order)):
        message = f"order={order!r} was given; choose 'explained' or None."
        raise ValueError(message)
    explained = None
    if order == "explained":
        signs = _signs(turned(_centred(adapter), turn))
        explained = explained_deviance(adapter, turn.to_numpy()).set_axis(turn.columns)
        explained = explained.sort_values(ascending=False, kind="stable")
        turn = (turn * signs)[explained.index]
    shown = turned(_centred(adapter) if centered else adapter.loadings(), turn)
    table = pd.DataFrame(shown, index=adapter.genes, columns=turn.columns)
    covariance = adapter.loadings_covariance()
    if covariance is None:
        return Factors(table, turn, explained)
    return Factors(table, turn, explained, _intervals(table, covariance, turn, interval, centered=centered))


def _intervals(
    loadings: pd.DataFrame, covariance: np.ndarray, turn: pd.DataFrame, interval: float, *, centered: bool
) -> pd.DataFrame:
    """Posterior of rotated loadings: a linear function of Gaussians, that is a Gaussian, in closed form."""
    if not 0 < interval < 1:
        message = f"A probability between 0 and 1 is needed for the interval; found {interval}."
        raise ValueError(message)
    back = np.linalg.inv(turn.to_numpy()).T
    variance = np.einsum("gij,ik,jk->gk", covariance, back, back)
    if centered:
        # Genes are independent in the guide: Var(w_g - mean) = v_g (1 - 2/G) + sum(v) / G^2.
        n_genes = len(variance)
        variance = variance * (1 - 2 / n_genes) + variance.sum(0) / n_genes**2
    sd = np.sqrt(variance)
    half = norm.ppf(0.5 + interval / 2) * sd
    values = loadings.to_numpy()
    positive = norm.cdf(values / sd)
    n_genes, n_factors = values.shape
    return pd.DataFrame(
        {
            "factor": np.repeat(loadings.columns.to_numpy(), n_genes),
            "gene": np.tile(loadings.index.to_numpy(), n_factors),
            "loading": values.T.ravel(),
            "sd": sd.T.ravel(),
            "lower": (values - half).T.ravel(),
            "upper": (values + half).T.ravel(),
            "probability_positive": positive.T.ravel(),
            "local_false_sign_rate": np.minimum(positive, 1 - positive).T.ravel(),
        }
    )


def turned(loadings: np.ndarray, turn: pd.DataFrame) -> np.ndarray:
    """Return loadings for latent points that were multiplied with `turn`: their product stays what it was."""
    return loadings @ np.linalg.inv(turn.to_numpy()).T


def _signs(loadings: np.ndarray) -> np.ndarray:
    """Return the sign of each factor that points to where its strongest genes go up."""
    return np.where((loadings**3).sum(0) < 0, -1.0, 1.0)


def rotation_of(adapter: Adapter, rotation: Rotation | np.ndarray | None) -> pd.DataFrame:
    """Return the rotation of the latent space, ``(n_latent, n_factors)``, numbered and oriented but not ordered.

    Rotated factors are standardised first: the prior says that they are uncorrelated with variance 1, the cells may not
    quite agree, and rotations of differently stretched factors cannot be compared between runs.
    """
    check_linear(adapter)
    latents = adapter.latents
    if isinstance(rotation, np.ndarray | pd.DataFrame):
        return _given(np.asarray(rotation, dtype=np.float64), latents)
    if rotation is None:
        return pd.DataFrame(np.eye(len(latents)), index=latents, columns=latents)
    if rotation not in get_args(Rotation):
        message = f"rotation={rotation!r} was given; choose 'varimax', 'svd' or None."
        raise ValueError(message)
    if not can_rotate(adapter):
        message = (
            f"rotation={rotation!r} was given, but masked or non-negative factors have a meaning of their own, which a "
            "rotation would mix. Use rotation=None."
        )
        raise ValueError(message)
    values, vectors = np.linalg.eigh(_covariance(adapter))
    root = vectors * np.sqrt(values) @ vectors.T
    loadings = _centred(adapter) @ root
    turn = varimax(loadings) if rotation == "varimax" else np.linalg.eigh(loadings.T @ loadings)[1]
    rotated = loadings @ turn
    by_norm = np.argsort(-np.linalg.norm(rotated, axis=0), kind="stable")
    turn = np.linalg.inv(root) @ (turn * _signs(rotated))[:, by_norm]
    names = [f"{rotation}_{index}" for index in range(turn.shape[1])]
    return pd.DataFrame(turn, index=latents, columns=names)


def _given(turn: np.ndarray, latents: list[str]) -> pd.DataFrame:
    """Check and name a matrix of the user."""
    n_latent = len(latents)
    if turn.shape != (n_latent, n_latent) or np.linalg.matrix_rank(turn) < n_latent:
        message = f"`rotation` must be an invertible matrix ({n_latent}, {n_latent}); found the shape {turn.shape}."
        raise ValueError(message)
    return pd.DataFrame(turn, index=latents, columns=[f"rotated_{index}" for index in range(n_latent)])


def _some_cells(adapter: Adapter, n_cells: int) -> np.ndarray:
    """Return training cells, at most `n_cells`, the same ones in each call."""
    cells = adapter.training_cells()
    return cells if len(cells) <= n_cells else np.sort(np.random.default_rng(0).choice(cells, n_cells, replace=False))


def _covariance(adapter: Adapter) -> np.ndarray:
    """Covariance of the aggregate posterior of the training cells; positive definite, as each posterior is."""
    mean, variance = (
        np.asarray(part, dtype=float) for part in adapter.encode(_some_cells(adapter, N_CELLS_COVARIANCE))
    )
    return np.atleast_2d(np.cov(mean.T, bias=True)) + np.diag(variance.mean(0))


def check_linear(adapter: Adapter) -> None:
    """Raise TypeError unless the decoder is linear."""
    if "loadings" not in adapter.capabilities:
        message = (
            f"{type(adapter.model).__name__} has no loadings: its decoder is not linear. "
            "Pass a LinearVI or scvi-tools' LinearSCVI."
        )
        raise TypeError(message)


def can_rotate(adapter: Adapter) -> bool:
    """Whether nothing but the prior, which a rotation does not change, holds the factors in place."""
    head = getattr(adapter.model.module.decoder, "scale", None)
    return getattr(head, "mask", None) is None and not getattr(head, "non_negative", 0)


def _centred(adapter: Adapter) -> np.ndarray:
    """Return loadings, centred over genes where the model leaves a constant free."""
    loadings = adapter.loadings()
    # The linear models of scvi-tools have a softmax and no constraints.
    return loadings - loadings.mean(0) if getattr(adapter.model.module, "has_free_constant", True) else loadings


def explained_deviance(adapter: Adapter, rotation: np.ndarray, *, n_cells: int | None = None) -> pd.Series:
    """Return the share of the explained deviance that is lost if a factor is held at its mean, for each factor.

    Parameters
    ----------
    adapter
        Adapter of the model.
    rotation
        Rotation of the latent space, ``(n_latent, n_factors)``.
    n_cells
        Number of training cells at most, the same ones in each call. ``None`` takes 2000, or fewer (200 at least) where
        there are so many genes and factors that it would take more than some seconds.

    Raises
    ------
    ValueError
        If the counts were taken out of the model's data.
    """
    if getattr(adapter.model, "minified_data_type", None) == ADATA_MINIFY_TYPE.LATENT_POSTERIOR:
        message = "The data are minified; the explained deviance needs the counts. Pass order=None."
        raise ValueError(message)
    if n_cells is None:
        n_cells = int(np.clip(N_ENTRIES // (len(adapter.genes) * (len(rotation) + 2)), *N_CELLS))
    cells = _some_cells(adapter, n_cells)
    z = adapter.transform_latent(np.asarray(adapter.encode(cells)[0], dtype=np.float64))
    context = adapter.context(cells)
    x = adapter.model.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    scores = z @ rotation
    excess = scores - scores.mean(0)
    back = np.linalg.inv(rotation)
    without = [z - excess[:, [k]] @ back[[k]] for k in range(len(back))]
    gains = np.zeros(len(without) + 1)
    for start in range(0, len(cells), CELLS_AT_ONCE):
        rows = slice(start, start + CELLS_AT_ONCE)
        block, part = _dense(x[cells[rows]]), context.take(rows)
        full = _log_likelihood(adapter.likelihood, block, adapter.decode(z[rows], part))
        points = [np.tile(z.mean(0), (len(z[rows]), 1)), *(other[rows] for other in without)]
        gains += [full - _log_likelihood(adapter.likelihood, block, adapter.decode(p, part)) for p in points]
    # Factors may explain nothing together, in a model that was hardly trained.
    return pd.Series(gains[1:] / gains[0] if gains[0] > 0 else np.full(len(without), np.nan), name="explained")


def _dense(block: Any) -> np.ndarray:
    block = as_rows(block)
    return block.toarray() if sparse.issparse(block) else block


def _log_likelihood(name: str, x: np.ndarray, parameters: dict[str, np.ndarray]) -> float:
    """Sum of the log likelihood over cells and genes."""
    tensors = {key: torch.as_tensor(value) for key, value in parameters.items()}
    mean: Any = tensors["mean"]
    dispersion, dropout = tensors.get("dispersions"), tensors.get("dropout")
    scale = {"bernoulli": lambda: torch.logit(mean, eps=1e-7), "normal": lambda: mean}.get(name, lambda: mean.log())
    px = likelihood(
        name,
        scale=scale(),
        log_exposure=mean.new_zeros(len(mean), 1),
        log_dispersion=None if dispersion is None else dispersion.log(),
        zi_logits=None if dropout is None else torch.logit(dropout, eps=1e-7),
        normalise=False,
    )
    return float(px.log_likelihood(torch.as_tensor(x, dtype=mean.dtype)).sum())
