from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scgauge._core.checks import check_adata, check_finite
from scgauge._core.keys import PCA_SGD
from scgauge._core.matrix import as_rows, column_sums, get_matrix, iter_rows
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge.metrics._distances import dense_rows

if TYPE_CHECKING:
    from anndata import AnnData

#: Weight of earlier minibatches in the running second moment of the scores.
_MEMORY = 0.9


def pca_sgd(
    adata: AnnData,
    *,
    n_comps: int = 10,
    layer: str | None = None,
    n_epochs: int = 50,
    batch_size: int = 128,
    step_size: float = 0.3,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = PCA_SGD,
    copy: bool = False,
) -> AnnData | None:
    r"""Find principal components by stochastic gradient descent, a minibatch of cells at a time.

    Minimises :math:`\sum_i \lVert x_i - \mu - V \lambda_i \rVert^2` over orthonormal :math:`V`, the loss of a linear
    autoencoder, with the scores :math:`\lambda_i = V^\top (x_i - \mu)` of each minibatch. Gradients are divided by
    the second moment of the scores, so that weak components learn as fast as strong ones (an incremental form of
    expectation maximisation :cite:p:`Roweis97`), steps fall to zero along a squared cosine, and a last pass over the
    cells turns the found space to its principal axes. Components of nearly equal variance are found as a space, not
    one by one. For data that fit into memory ``scanpy.pp.pca`` is exact and as fast; this shows what gradient descent
    finds and needs memory for a minibatch of dense cells alone.

    Parameters
    ----------
    adata
        Annotated data matrix, log-normalised as a rule.
    n_comps
        Number of components.
    layer
        Layer with the data, ``adata.X`` if ``None``.
    n_epochs
        Passes through the cells.
    batch_size
        Cells in a minibatch; at least twice the number of components.
    step_size
        First step, a share of the way to the optimum of the minibatch, in (0, 1].
    rng
        Seed or Generator of the start and of the order of cells.
    progress
        Whether to show a progress bar if it takes longer than two seconds.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"X_{key_added}"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Scores, ``(n_obs, n_comps)``.
    ``adata.varm[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Components, orthonormal columns ``(n_vars, n_comps)``; the entry of largest absolute value is positive.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``; ``"variance"``: data frame with the columns ``component``, ``variance`` (of the scores, divided
        by n - 1 as scanpy does) and ``ratio`` (share of the total variance); ``"history"``: data frame with the
        columns ``epoch`` and ``mse``, the mean squared error of the cells, summed over genes.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If the data are not finite or do not vary, or an argument is out of range.

    Examples
    --------
    >>> import scanpy as sc, scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 30, rng=0)
    >>> sc.pp.log1p(adata)
    >>> scgauge.tl.pca_sgd(adata, n_comps=3, rng=0)
    >>> adata.obsm["X_pca_sgd"].shape
    (200, 3)
    """
    check_adata(adata)
    check_finite(adata, layer)
    if not 1 <= n_comps <= min(adata.shape) - 1:
        message = f"n_comps={n_comps} was given; data of the shape {adata.shape} have 1 to {min(adata.shape) - 1}."
        raise ValueError(message)
    if batch_size < 2 * n_comps or n_epochs < 1 or not 0 < step_size <= 1:
        message = (
            f"batch_size={batch_size}, n_epochs={n_epochs}, step_size={step_size} were given; at least "
            f"{2 * n_comps} (twice n_comps), at least 1, and a number in (0, 1] are needed."
        )
        raise ValueError(message)
    matrix = as_rows(get_matrix(adata, layer))
    descent = _Descent(matrix, n_comps, min(batch_size, adata.n_obs), step_size, generator(rng))
    if descent.total_variance <= 0:
        message = "All cells are the same: there is no component. Check the matrix."
        raise ValueError(message)
    errors = [
        descent.epoch(epoch, n_epochs)
        for epoch in tqdm(range(n_epochs), desc="Descending", unit="epoch", delay=2, disable=not progress)
    ]
    components, scores = descent.principal_axes()
    variance = scores.var(0, ddof=1)
    params = {
        "n_comps": n_comps, "layer": layer, "n_epochs": n_epochs, "batch_size": batch_size, "step_size": step_size,
        "rng": rng,
    }  # fmt: skip
    result = {
        "params": params,
        "variance": pd.DataFrame(
            {
                "component": np.arange(1, n_comps + 1),
                "variance": variance,
                "ratio": variance / descent.total_variance,
            }
        ),
        "history": pd.DataFrame({"epoch": np.arange(n_epochs), "mse": errors}),
    }
    return store(
        adata, copy=copy, obsm={f"X_{key_added}": scores}, varm={key_added: components}, uns={key_added: result}
    )


@dataclass
class _Descent:
    """Components on their way."""

    matrix: Any
    n_comps: int
    batch_size: int
    step_size: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        n_cells, n_genes = self.matrix.shape
        self.mean = column_sums(self.matrix) / n_cells
        squares = 0.0
        for _, block in iter_rows(self.matrix):
            squares += float(np.square(np.asarray(block.data if hasattr(block, "indptr") else block, float)).sum())
        self.total_variance = (squares - n_cells * float(self.mean @ self.mean)) / (n_cells - 1)
        self.components = np.linalg.qr(self.rng.standard_normal((n_genes, self.n_comps)))[0]
        self.moment: np.ndarray | None = None

    def _centred(self, cells: np.ndarray) -> np.ndarray:
        return dense_rows(self.matrix, cells) - self.mean

    def epoch(self, epoch: int, n_epochs: int) -> float:
        """Pass once through the cells; return the mean squared error met on the way."""
        order = self.rng.permutation(self.matrix.shape[0])
        starts = range(0, len(order) - self.batch_size + 1, self.batch_size)
        lost = 0.0
        for number, start in enumerate(starts):
            done = (epoch + number / len(starts)) / n_epochs
            share = (0.5 * (1 + np.cos(np.pi * done))) ** 2
            lost += self._step(self._centred(order[start : start + self.batch_size]), share)
        return lost / len(starts)

    def _step(self, x: np.ndarray, share: float) -> float:
        scores = x @ self.components
        residual = x - scores @ self.components.T
        moment = scores.T @ scores / len(x)
        self.moment = moment if self.moment is None else _MEMORY * self.moment + (1 - _MEMORY) * moment
        ridge = 1e-9 * np.trace(self.moment) * np.eye(self.n_comps) + 1e-300 * np.eye(self.n_comps)
        gradient = residual.T @ scores / len(x)
        step = np.linalg.solve(self.moment + ridge, gradient.T).T
        self.components = np.linalg.qr(self.components + self.step_size * share * step)[0]
        return float(np.square(residual).sum(1).mean())

    def principal_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Turn the space to its principal axes: components and scores of all cells."""
        cells = np.arange(self.matrix.shape[0])
        blocks = np.array_split(cells, -(-len(cells) // max(self.batch_size, 512)))
        scores = np.concatenate([self._centred(block) @ self.components for block in blocks])
        turn = np.linalg.svd(scores, full_matrices=False)[2].T
        components = self.components @ turn
        largest = np.abs(components).argmax(0)
        signs = np.sign(components[largest, np.arange(self.n_comps)])
        return components * signs, scores @ turn * signs
