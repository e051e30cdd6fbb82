from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import xlogy

from scgauge._core.adapter import CELLS_AT_ONCE, adapt, shell
from scgauge._core.checks import check_adata, check_counts
from scgauge._core.matrix import as_rows, column_sums, get_matrix, row_sums
from scgauge._core.rng import RNG, generator
from scgauge.metrics import thin_counts
from scgauge.metrics._neighbors import nearest
from scgauge.tl._cell_space import Cells, CellSpace
from scgauge.tl._impute import posterior_moments
from scgauge.tl._refit import fit_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from scgauge._core.matrix import Matrix

#: Counts per cell, spread over genes by their mean, that keep a predicted rate from being 0.
_PSEUDO_COUNTS = 1.0
_METHODS = ("model", "kNN smoothing", "gene means", "no imputation")


def imputation_score(
    adata: AnnData,
    *,
    fit: Callable[[AnnData, int], Any] | Any,
    fraction: float = 0.2,
    n_neighbors: int = 15,
    n_samples: int = 25,
    layer: str | None = None,
    rng: RNG = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Train a model on a part of the molecules of each cell and score it on the others, beside simpler methods.

    The counts are thinned (:func:`scgauge.metrics.thin_counts`, :cite:t:`Batson19`): given their rates, held-out
    molecules are independent of those that remain, so that a method cannot win by repeating what it has seen. All
    methods predict the rates of the held-out counts :math:`y` from the remaining ones:

    * "model": posterior mean of a model trained on the remaining counts;
    * "kNN smoothing": pooled counts of the cell and its nearest neighbours in 20 principal components;
    * "gene means": the profile of all cells, at the library size of the cell;
    * "no imputation": the remaining counts of the cell itself.

    The last three get one further count per cell, spread by the profile of all cells, since a rate of 0 has an infinite
    deviance.

    Parameters
    ----------
    adata
        Cells with counts.
    fit
        Trained model of scgauge, which is trained again in the same way, or a function that takes cells and a seed and
        returns a trained model.
    fraction
        Share of the molecules that is held out.
    n_neighbors
        Number of neighbours for smoothing.
    n_samples
        Draws from the posterior of each cell.
    layer
        Layer with the counts, as the model reads it; ``X`` if ``None``.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar while a model predicts for longer than two seconds.

    Returns
    -------
    Long table: ``method``; ``statistic``: ``"deviance"`` (Poisson deviance of an entry, mean), ``"skill"`` (share of
    the deviance of the gene means that a method removes; 0: as good as gene means, negative: worse), ``"mse"`` (mean
    squared error of an entry), ``"genes_better"`` (share of the genes with a lower deviance than their mean);
    ``value``; ``se``, over cells (NaN for ``"genes_better"``).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or ``fit`` cannot be trained again.
    KeyError
        If the layer does not exist.
    ValueError
        If the data are no counts, an argument is out of range, or a cell has no counts left.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(80, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, gene_likelihood="nb")
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> table = scgauge.tl.imputation_score(adata, fit=model, rng=0)
    >>> table["method"].unique().tolist()
    ['model', 'kNN smoothing', 'gene means', 'no imputation']
    """
    check_adata(adata)
    check_counts(adata, layer)
    if not 1 <= n_neighbors < adata.n_obs or n_samples < 2:
        message = (
            f"n_neighbors={n_neighbors} and n_samples={n_samples} were given; from 1 to {adata.n_obs - 1} neighbours "
            "and at least 2 samples are needed."
        )
        raise ValueError(message)
    thin_rng, fit_rng, draw_rng = generator(rng).spawn(3)
    remaining, held_out = thin_counts(as_rows(get_matrix(adata, layer)), fraction=fraction, rng=thin_rng)
    empty = int((row_sums(remaining) == 0).sum())
    if empty:
        message = f"{empty} cells have no counts left at fraction={fraction}; hold out less or remove small cells."
        raise ValueError(message)
    cells = shell(adata)
    if layer is None:
        cells.X = remaining
    else:
        cells.layers[layer] = remaining
    model = fit_again(fit, cells, int(fit_rng.integers(2**31)))
    scale = fraction / (1 - fraction)
    predictors = {
        "model": _of_model(model, cells, n_samples, draw_rng, progress=progress),
        **_of_counts(remaining, n_neighbors, int(draw_rng.integers(2**31))),
    }
    return _table({name: _errors(predictors[name], held_out, scale) for name in _METHODS})


def _of_model(
    model: Any, cells: AnnData, n_samples: int, rng: np.random.Generator, *, progress: bool
) -> Callable[[], Any]:
    """Predict from the posterior."""
    adapter = adapt(model)
    mean, variance = adapter.encode(adata=cells)
    here = adapter.on(cells)
    return lambda: (
        (rows, expected)
        for rows, expected, _ in posterior_moments(here, mean, variance, n_samples, rng, progress=progress)
    )


def _of_counts(counts: Matrix, n_neighbors: int, seed: int) -> dict[str, Callable[[], Any]]:
    """Predict from the gene profile, from the cell itself and from its neighbours."""
    library = row_sums(counts)
    profile = column_sums(counts) / library.sum()
    space = CellSpace(counts, "counts", 2000, 20, seed)
    points = Cells(counts, space).points
    neighbours = nearest(points, n_neighbors=n_neighbors)[1]
    n_cells = len(library)
    rows = np.repeat(np.arange(n_cells), n_neighbors)
    graph = sparse.csr_matrix((np.ones(len(rows)), (rows, neighbours.ravel())), shape=(n_cells, n_cells))
    graph = graph + sparse.identity(n_cells, format="csr")

    def predictor(weights: Any) -> Callable[[], Any]:
        def predict() -> Any:
            for start in range(0, n_cells, CELLS_AT_ONCE):
                block = slice(start, min(start + CELLS_AT_ONCE, n_cells))
                total = (
                    np.zeros((block.stop - start, len(profile))) if weights is None else _dense(weights[block] @ counts)
                )
                share = total + _PSEUDO_COUNTS * profile
                yield block, library[block, None] * share / share.sum(axis=1, keepdims=True)

        return predict

    return {
        "kNN smoothing": predictor(graph),
        "gene means": predictor(None),
        "no imputation": predictor(sparse.identity(n_cells, format="csr")),
    }


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)


def _errors(predictor: Callable[[], Any], held_out: Matrix, scale: float) -> dict[str, np.ndarray]:
    """Mean deviance and squared error of each cell, and summed deviance of each gene."""
    n_cells, n_genes = held_out.shape
    deviance, squared, of_genes = np.empty(n_cells), np.empty(n_cells), np.zeros(n_genes)
    for rows, expected in predictor():
        seen = _dense(held_out[rows])
        rate = np.maximum(expected * scale, 1e-12)
        entry = 2 * (xlogy(seen, seen / rate) - seen + rate)
        deviance[rows], squared[rows] = entry.mean(axis=1), ((seen - rate) ** 2).mean(axis=1)
        of_genes += entry.sum(axis=0)
    return {"deviance": deviance, "mse": squared, "genes": of_genes}


def _table(errors: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    rows = []
    base = errors["gene means"]
    n_cells = len(base["deviance"])

    def se(values: np.ndarray) -> float:
        return float(values.std(ddof=1) / np.sqrt(n_cells))

    for method, error in errors.items():
        rows += [(method, name, float(error[name].mean()), se(error[name])) for name in ("deviance", "mse")]
        ratio = float(error["deviance"].mean() / base["deviance"].mean())
        # Delta method: cells are predicted by both methods, and their errors go together.
        spread = (error["deviance"] - ratio * base["deviance"]) / base["deviance"].mean()
        rows.append((method, "skill", 1 - ratio, se(spread)))
        better = float((error["genes"] < base["genes"]).mean()) if method != "gene means" else np.nan
        rows.append((method, "genes_better", better, np.nan))
    return pd.DataFrame(rows, columns=["method", "statistic", "value", "se"])
