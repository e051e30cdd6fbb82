"""The spaces in which real and synthetic cells are compared, learnt on training cells only."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from scgauge._core.matrix import iter_rows, stored_values
from scgauge._core.normalise import log_normalise, median_library
from scgauge.metrics import CellMarginals, GeneMarginals, cell_marginals, dependence, gene_marginals, log_odds_ratio

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix

Kind = Literal["counts", "binary", "continuous"]


def kind_of(matrix: Matrix) -> Kind:
    """Return what a matrix holds: zeros and ones, other counts, or anything else."""
    largest = 0.0
    for _, block in iter_rows(matrix):
        values = stored_values(block)
        if (values < 0).any() or (values != np.rint(values)).any():
            return "continuous"
        largest = max(largest, float(values.max(initial=0)))
    return "binary" if largest <= 1 else "counts"


class CellSpace:
    """Library size, genes, thresholds and principal components of training cells.

    Parameters
    ----------
    train
        Training cells, ``(n_cells, n_genes)``.
    kind
        What the matrices hold; counts are log-normalised, all else is taken as it is.
    n_top_genes
        Number of genes of largest (log-normalised) variance for all that is about pairs of genes, or their positions.
    n_pcs
        Number of principal components of these genes.
    seed
        Seed of the decomposition.

    Raises
    ------
    ValueError
        If values are NaN or infinite, or `n_top_genes` or `n_pcs` is less than 1.
    """

    def __init__(self, train: Matrix, kind: Kind, n_top_genes: int | np.ndarray, n_pcs: int, seed: int) -> None:
        n_genes = len(n_top_genes) if isinstance(n_top_genes, np.ndarray) else n_top_genes
        for name, number in (("n_top_genes", n_genes), ("n_pcs", n_pcs)):
            if number < 1:
                message = f"{name}={number} was given; at least 1 is needed."
                raise ValueError(message)
        n_bad = sum(int((~np.isfinite(stored_values(block))).sum()) for _, block in iter_rows(train))
        if n_bad:
            message = f"The cells have {n_bad} values that are NaN or infinite; remove or fill them first."
            raise ValueError(message)
        self.kind = kind
        self.target = median_library(train) if kind == "counts" else 1.0
        values = self.transform(train)
        if isinstance(n_top_genes, np.ndarray):
            self.genes = n_top_genes
        else:
            self.genes = np.sort(np.argsort(-gene_marginals(values).variance, kind="stable")[:n_top_genes])
        self.thresholds = np.median(_dense(train[:, self.genes]), axis=0)
        top = _dense(values[:, self.genes])
        n_pcs = min(n_pcs, *(size - 1 for size in top.shape)) or 1
        self.pca = PCA(n_pcs, svd_solver="randomized" if min(top.shape) > 100 else "full", random_state=seed).fit(top)

    def transform(self, matrix: Matrix) -> Matrix:
        """Log-normalise counts to the library size of the training cells."""
        return log_normalise(matrix, self.target) if self.kind == "counts" else matrix


class Cells:
    """Some cells as a :class:`CellSpace` shows them; every view is computed once, when it is needed.

    Parameters
    ----------
    matrix
        The cells, ``(n_cells, n_genes)``.
    space
        What was learnt on the training cells.
    """

    def __init__(self, matrix: Matrix, space: CellSpace) -> None:
        self.matrix, self.space = matrix, space

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def take(self, rows: np.ndarray) -> Cells:
        """Return some of the cells."""
        return Cells(self.matrix[rows], self.space)

    @cached_property
    def genes(self) -> GeneMarginals:
        """Mean, variance and zeros of every gene."""
        return gene_marginals(self.matrix)

    @cached_property
    def cells(self) -> CellMarginals:
        """Library size and zeros of every cell."""
        return cell_marginals(self.matrix)

    @cached_property
    def top(self) -> np.ndarray:
        """Log-normalised variable genes, ``(n_cells, n_top_genes)``."""
        return _dense(self.space.transform(self.matrix)[:, self.space.genes])

    @cached_property
    def points(self) -> np.ndarray:
        """Principal components, ``(n_cells, n_pcs)``."""
        return self.space.pca.transform(self.top)

    @cached_property
    def log_odds(self) -> np.ndarray:
        """Log odds ratios of the variable genes above their thresholds."""
        above = _dense(self.matrix[:, self.space.genes]) > self.space.thresholds
        return log_odds_ratio(above).log_odds

    @cached_property
    def dependences(self) -> dict[str, np.ndarray]:
        """Correlation, covariance and partial correlation of the variable genes."""
        kinds = ("pearson", "covariance", "partial")
        return {kind: dependence(self.top, kind=kind) for kind in kinds}  # type: ignore[arg-type]


def _dense(matrix: Matrix) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)
