"""Log-normalised counts, with one target for all data sets that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scgauge._core.matrix import row_sums

if TYPE_CHECKING:
    from scgauge._core.matrix import Matrix


def median_library(counts: Matrix) -> float:
    """Median library size of the cells that have counts; 1 if none has."""
    library = row_sums(counts)
    return float(np.median(library[library > 0])) if (library > 0).any() else 1.0


def log_normalise(counts: Matrix, target: float) -> Matrix:
    """Scale every cell to the library size `target` and take log(1 + x); sparse stays sparse, empty cells empty."""
    library = row_sums(counts)
    factor = target / np.where(library > 0, library, 1)
    if sparse.issparse(counts):
        scaled = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
        scaled.data = np.log1p(scaled.data * np.repeat(factor, np.diff(scaled.indptr)))
        return scaled
    return np.log1p(np.asarray(counts, dtype=np.float64) * factor[:, None])
