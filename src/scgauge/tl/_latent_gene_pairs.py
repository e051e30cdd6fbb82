"""Binary latent points and binary genes of the same cells: of a model's synthetic cells, or of cells of the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import LATENT
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.thresholds import above, quantile_thresholds
from scgauge.tl._sample import sample

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Pairs:
    """Where pairs come from.

    Attributes
    ----------
    draw
        Returns binary latent points ``(n_cells, n_latent)`` and genes ``(n_cells, n_genes)``.
    genes, latents
        Names of both.
    n_cells
        Cells of a draw.
    """

    draw: Callable[[], tuple[np.ndarray, Any]]
    genes: list[str]
    latents: list[str]
    n_cells: int


def check_pairs(*, quantile: float, **numbers: int) -> None:
    """Raise ValueError unless numbers are positive and the quantile is in [0, 1)."""
    for name, value in numbers.items():
        if value < 1:
            message = f"{name}={value}; at least 1 is needed."
            raise ValueError(message)
    if not 0 <= quantile < 1:
        message = f"quantile={quantile} is not from 0 to below 1."
        raise ValueError(message)


def pairs_of(source: Any, quantile: float, n_samples: int, rng: np.random.Generator) -> Pairs:
    """Return pairs of a model, or of cells with latent points in ``obsm["X_latent"]``."""
    if isinstance(source, AnnData):
        check_adata(source, name="model_or_pairs")
        points = check_obsm_key(source, LATENT, argument="model_or_pairs with")
        matrix = as_rows(get_matrix(source))
        pairs = points > 0, above(matrix, quantile_thresholds(matrix, quantile))
        names = [f"Z_{index}" for index in range(points.shape[1])]
        return Pairs(lambda: pairs, source.var_names.astype(str).tolist(), names, source.n_obs)
    adapter = adapt(source)
    thresholds = quantile_thresholds(as_rows(adapter.matrix)[adapter.training_cells()], quantile)

    def draw() -> tuple[np.ndarray, Any]:
        cells = sample(source, n_samples, source="prior", rng=rng, progress=False)
        return cells.obsm[LATENT] > 0, above(as_rows(cells.X), thresholds)

    return Pairs(draw, adapter.genes.tolist(), adapter.latents, n_samples)


def patterns_of(x: Any, genes: list[int] | np.ndarray) -> np.ndarray:
    """Pattern of some binary genes in each cell, ``(n_cells, n_genes)`` of 0 and 1."""
    some = x[:, genes]
    return np.asarray(some.toarray() if sparse.issparse(some) else some, dtype=np.int64)


def as_text(patterns: np.ndarray) -> np.ndarray:
    """Write patterns as text, for example "0110"."""
    return np.array(["".join(map(str, row)) for row in patterns], dtype=object)
