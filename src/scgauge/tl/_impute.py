from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from tqdm.auto import tqdm

from scgauge._core.adapter import CELLS_AT_ONCE, adapt
from scgauge._core.checks import check_adata
from scgauge._core.keys import IMPUTED
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from scgauge._core.model_protocol import Adapter


#: Share of the molecules of a cell that may be missing; beyond it the library of the cell is not known.
_MOST_MISSING = 0.9


def impute(
    adata: AnnData,
    model: Any,
    *,
    mask: str | None = None,
    n_samples: int = 25,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = IMPUTED,
    copy: bool = False,
) -> AnnData | None:
    r"""Fill entries with what a model expects there, and say how uncertain it is.

    For a cell with the posterior :math:`q(z|x)` and the likelihood with mean :math:`\mu(z)` and variance
    :math:`v(z)`, the value is the posterior mean :math:`\mathrm{E}_q \mu(z)` and its standard deviation that of a new
    measurement, :math:`\sqrt{\mathrm{E}_q v(z) + \mathrm{Var}_q \mu(z)}`. Both are in the units of the data, at the
    library size of the cell.

    The values are smooth: they are no measurements, and tests between groups of cells on them find differences that
    the model has made. Score a model with :func:`scgauge.tl.imputation_score` before its values are used.

    Parameters
    ----------
    adata
        Cells with the genes and columns that the model was set up with; for missing entries put 0 where they are.
    model
        Trained model: :class:`~scgauge.model.CountVI`, :class:`scvi.model.SCVI` or another that scgauge reads.
    mask
        Layer that is not 0 where entries are missing or masked. These alone are filled. If ``None``, all entries are
        (smoothing), which takes a dense matrix of cells x genes. Library sizes are corrected for the
        missing genes, latent points are not: the encoder reads a missing entry as it stands in the data, and with many
        of them the points move towards cells without these genes.
    n_samples
        Number of draws from the posterior of each cell.
    rng
        Seed or Generator.
    progress
        Whether to show a progress bar if it takes longer than two seconds.
    key_added
        Layer that is written.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.layers[key_added]`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        The data with the entries of the mask filled (sparse), or the posterior mean of all entries (dense).
    ``adata.layers[f"{key_added}_sd"]`` : :class:`scipy.sparse.csr_matrix` or :class:`numpy.ndarray` (dtype ``float32``)
        Standard deviation of the entries that were filled.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call, ``"layer"`` that the model reads and ``"n_filled"`` entries.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData or scgauge cannot read this class of models.
    RuntimeError
        If the model is not trained.
    KeyError
        If ``mask`` is no layer.
    ValueError
        If ``adata`` lacks genes of the model, the mask marks nothing, or ``n_samples`` is less than 2.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> scgauge.tl.impute(adata, model, rng=0)
    >>> adata.layers["imputed"].shape, bool((adata.layers["imputed_sd"] > 0).all())
    ((60, 20), True)
    """
    check_adata(adata)
    if n_samples < 2:
        message = f"n_samples={n_samples} was given; at least 2 are needed."
        raise ValueError(message)
    adapter = adapt(model)
    if adata.n_vars != len(adapter.genes) or not (adata.var_names == adapter.genes).all():
        message = f"`adata` needs the {len(adapter.genes)} genes of the model in their order; found {adata.n_vars}."
        raise ValueError(message)
    wanted = None if mask is None else _wanted(adata, mask)
    layer = adapter.model.registry_["setup_args"].get("layer")
    here = adapter.on(adata)
    mean, variance = adapter.encode(adata=adata)
    values, deviations = [], []
    own = generator(rng)
    blocks = posterior_moments(here, mean, variance, n_samples, own, progress=progress, missing=wanted)
    for rows, expected, deviation in blocks:
        if wanted is None:
            values.append(expected.astype(np.float32))
            deviations.append(deviation.astype(np.float32))
            continue
        marked = wanted[rows]
        places = np.repeat(np.arange(marked.shape[0]), np.diff(marked.indptr)), marked.indices
        values.append(_filled(as_rows(get_matrix(adata, layer)[rows]), marked, expected[places]))
        deviations.append(_at(marked, deviation[places]))
    stack = np.concatenate if wanted is None else _stack
    params = {
        "mask": mask, "n_samples": n_samples, "rng": rng, "model": type(model).__name__, "layer": layer,
        "n_filled": adata.n_obs * adata.n_vars if wanted is None else int(wanted.nnz),
    }  # fmt: skip
    layers = {key_added: stack(values), f"{key_added}_sd": stack(deviations)}
    return store(adata, copy=copy, layers=layers, uns={key_added: {"params": params}})


def _wanted(adata: AnnData, mask: str) -> sparse.csr_matrix:
    """Return the entries to fill as a sparse matrix of ones."""
    marked = sparse.csr_matrix(as_rows(get_matrix(adata, mask)) != 0)
    marked.sort_indices()
    if marked.nnz == 0:
        message = f"adata.layers[{mask!r}] marks no entry; put something that is not 0 where entries are missing."
        raise ValueError(message)
    return marked


def _at(marked: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((values.astype(np.float32), marked.indices, marked.indptr), shape=marked.shape)


def _filled(observed: Any, marked: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    """Put values in the place of marked entries."""
    kept = sparse.csr_matrix(observed, dtype=np.float32)
    kept = kept - kept.multiply(marked)
    return sparse.csr_matrix(kept + _at(marked, values))


def _stack(blocks: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    return sparse.vstack(blocks, format="csr")


def posterior_moments(
    adapter: Adapter,
    mean: np.ndarray,
    variance: np.ndarray,
    n_samples: int,
    rng: np.random.Generator,
    *,
    progress: bool,
    missing: sparse.csr_matrix | None = None,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Mean and standard deviation of the posterior predictive law, block by block of cells.

    Parameters
    ----------
    adapter
        Adapter of the model on the cells.
    mean, variance
        Moments of the posterior of the cells, ``(n_cells, n_latent)``.
    n_samples
        Draws from the posterior.
    rng
        Generator.
    progress
        Whether to show a bar.
    missing
        Entries that were not measured: the library of a cell is that of its other genes, and is scaled up by the share
        of the missing ones in the decoded profile.

    Yields
    ------
    Rows, means and standard deviations, ``(n_rows, n_genes)``.
    """
    starts = range(0, len(mean), CELLS_AT_ONCE)
    counts = adapter.likelihood not in {"normal", "bernoulli"}
    scaled = missing is not None and counts and "size_factor" not in adapter.capabilities
    for start in tqdm(starts, desc="Imputing", unit="block", delay=2, disable=not progress):
        rows = slice(start, min(start + CELLS_AT_ONCE, len(mean)))
        context = adapter.context(np.arange(rows.start, rows.stop))
        total: Any = 0
        squares: Any = 0
        within: Any = 0
        # Cell after cell from one stream, so that blocks do not matter.
        noise = rng.standard_normal((rows.stop - rows.start, n_samples, mean.shape[1]))
        for draw in range(n_samples):
            z = adapter.transform_latent(mean[rows] + np.sqrt(variance[rows]) * noise[:, draw])
            parameters = adapter.decode(z, context)
            if scaled:
                parameters["mean"] = _whole_library(parameters["mean"], missing[rows])  # type: ignore[index]
            expected, spread = likelihood_moments(adapter.likelihood, parameters)
            total = total + expected
            squares = squares + expected**2
            within = within + spread
        average = total / n_samples
        between = np.maximum(squares / n_samples - average**2, 0) * n_samples / (n_samples - 1)
        yield rows, average, np.sqrt(within / n_samples + between)


def _whole_library(mean: np.ndarray, missing: sparse.csr_matrix) -> np.ndarray:
    """Scale means from the library of the measured genes to that of all genes."""
    share = np.asarray(missing.multiply(mean).sum(axis=1)).ravel() / mean.sum(axis=1)
    return mean / (1 - np.minimum(share, _MOST_MISSING))[:, None]


def likelihood_moments(likelihood: str, parameters: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the data given the parameters of the likelihood, ``(n_cells, n_genes)`` each."""
    mean = parameters["mean"]
    if likelihood == "normal":
        return mean, parameters["dispersions"] ** 2
    if likelihood == "bernoulli":
        return mean, mean * (1 - mean)
    variance = mean if likelihood == "poisson" else mean + mean**2 / parameters["dispersions"]
    if likelihood == "zinb":
        stays = 1 - parameters["dropout"]
        return stays * mean, stays * (variance + parameters["dropout"] * mean**2)
    return mean, variance
