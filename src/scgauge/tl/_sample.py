from __future__ import annotations

import reprlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from tqdm.auto import tqdm

from scgauge._core import keys
from scgauge._core.adapter import CELLS_AT_ONCE, adapt
from scgauge._core.draws import LikelihoodSampler
from scgauge._core.rng import RNG, generator
from scgauge._core.store import plain
from scgauge.tl._sample_conditions import (
    cells_of_label,
    covariate_columns,
    draw_by_label,
    labels_key,
    set_batch,
    set_covariates,
    set_labels,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from scgauge._core.model_protocol import Adapter, CellContext

Source = Literal["prior", "posterior", "aggregate"]

#: Likelihoods that read no library size.
_WITHOUT_LIBRARY = frozenset({"normal", "bernoulli"})


def sample(
    model: Any,
    n_obs: int | None = None,
    *,
    source: Source = "prior",
    indices: ArrayLike | None = None,
    batch: str | ArrayLike | None = None,
    labels: str | ArrayLike | None = None,
    covariates: Mapping[str, Any] | None = None,
    library: Literal["observed", "paired", "latent"] | float | ArrayLike | None = None,
    rng: RNG = None,
    progress: bool = True,
) -> AnnData:
    r"""Draw synthetic cells from a trained model.

    Latent points come from one of three laws, which differ by how far the model's idea of a cell is from the cells
    (:meth:`~scgauge.model.CountVI.get_latent_prior_gap`):

    * ``"prior"``: :math:`z \sim p(z)`, new cells that owe nothing to a single real one. Batch and covariates are
      those of randomly drawn training cells.
    * ``"posterior"``: :math:`z \sim q(z | x_i)`, a synthetic twin of each named cell, which keeps the annotation,
      batch and library size of its cell.
    * ``"aggregate"``: :math:`z \sim \frac1n \sum_i q(z | x_i)`, new cells from where the cells are.

    The data are then drawn from the decoded likelihood, for SCVI :cite:p:`Lopez18`, LinearSCVI and SCANVI as for the
    models of scgauge.

    Parameters
    ----------
    model
        Trained model: :class:`~scgauge.model.CountVI`, :class:`scvi.model.SCVI`, :class:`scvi.model.LinearSCVI`,
        :class:`scvi.model.SCANVI` or a subclass.
    n_obs
        Number of cells. If ``None``, as many as there are source cells.
    source
        Law of the latent points.
    indices
        Source cells, as positions in the data of the model; the training cells if ``None``.
    batch
        Batch, or batch of each cell, to decode for. If ``None``, that of the source cell.
    labels
        Label, or label of each cell. The labelled prior of SCANVI draws from its law of the label (``None``: labels in
        observed proportions). Posterior and aggregate, of any model that was set up with a ``labels_key``, draw from
        source cells of that label. Other priors know no labels.
    covariates
        Values of covariates to decode for, by their name: one for all cells or one for each. Covariates that are not
        named are those of the source cells.
    library
        Library size (or size factor, where the model was set up with them) of each cell:
        ``"observed"`` draws from the source cells of the same batch (default of the prior), ``"paired"`` takes that of
        the cell behind the latent point (default otherwise; a draw from its posterior if the library is latent),
        ``"latent"`` draws from the prior of a latent library, and numbers are taken as they are. Binary and normal
        data have none, and nothing is read then.
    rng
        Seed or generator.
    progress
        Whether to show a progress bar if drawing takes longer than two seconds.

    Returns
    -------
    Synthetic cells with ``n_obs`` rows and the genes of the model:

    ``synthetic.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts (a dense array for ``"normal"``).
    ``synthetic.obs``
        Batch and covariates under their own names, ``"library_size"`` (or ``"size_factor"``); for the posterior all
        columns of the source cells and ``"source_cell"``, their names.
    ``synthetic.obsm['X_latent']`` : :class:`numpy.ndarray`
        Latent points, ``(n_obs, n_latent)``.
    ``synthetic.uns['sample']`` : :class:`dict`
        ``"params"``: where the cells come from.

    Raises
    ------
    TypeError
        If scgauge cannot read this class of models.
    RuntimeError
        If the model is not trained or has no cells attached.
    ValueError
        If an argument is out of range, or asks for what the model does not have.
    FloatingPointError
        If the model decodes to numbers that are not finite.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> scgauge.tl.sample(model, 5, rng=0).shape
    (5, 20)
    """
    adapter = adapt(model)
    request = _Request(adapter, n_obs, source, indices, generator(rng), labels)
    context = set_batch(adapter, request, batch)
    context = set_labels(adapter, request, context, labels)
    context = set_covariates(adapter, context, covariates)
    mode = library if library is not None else ("observed" if source == "prior" else "paired")
    context = replace(context, exposure=_library(adapter, request, context, mode))
    z = _latent_points(adapter, request, context)
    params = {
        "source": source,
        "n_obs": len(z),
        "library": mode if isinstance(mode, str) else "given",
        "model": type(model).__name__,
        "gene_likelihood": adapter.likelihood,
        "rng": rng,
        "scgauge": version("scgauge"),
        "scvi": version("scvi-tools"),
    }
    x = draw_cells(adapter, z, context, request.rng, progress=progress)
    return _assemble(adapter, request, context, x, z, params)


@dataclass
class _Request:
    """Which real cell stands behind each synthetic one, for its latent point, batch, covariates or library."""

    adapter: Adapter
    n_obs: int | None
    source: Source
    indices: ArrayLike | None
    rng: np.random.Generator
    labels: Any = None

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            message = f"source={self.source!r} was given; choose from {list(get_args(Source))}."
            raise ValueError(message)
        if self.n_obs is not None and (not isinstance(self.n_obs, int | np.integer) or self.n_obs < 1):
            message = f"n_obs={self.n_obs!r} was given; an integer of at least 1 is needed."
            raise ValueError(message)
        self.pool = self._pool()
        by_label = self.labels is not None and self.source != "prior"
        if by_label and np.ndim(self.labels) == 0:
            self.pool = cells_of_label(self.adapter, self.pool, str(self.labels))
        elif by_label and self.n_obs is None:
            self.n_obs = len(np.asarray(self.labels))
        n_obs = len(self.pool) if self.n_obs is None else int(self.n_obs)
        self.cells_rng, self.latent_rng, self.library_rng, self.rng = self.rng.spawn(4)
        if by_label and np.ndim(self.labels):
            self.cells = draw_by_label(self.adapter, self.pool, np.asarray(self.labels), n_obs, self.cells_rng)
        elif self.source == "posterior" and n_obs <= len(self.pool):
            keep = (
                self.cells_rng.choice(len(self.pool), n_obs, replace=False) if n_obs < len(self.pool) else slice(None)
            )
            self.cells = self.pool[keep]
        else:
            self.cells = self.cells_rng.choice(self.pool, n_obs)

    def _pool(self) -> np.ndarray:
        training = self.adapter.training_cells()
        if self.indices is None:
            return training
        n_cells = self.adapter.model.adata.n_obs
        pool = np.asarray(self.indices)
        if pool.dtype == bool:
            pool = np.flatnonzero(pool)
        if pool.ndim != 1 or len(pool) == 0 or not np.issubdtype(pool.dtype, np.integer):
            message = "`indices` must be a non-empty list of positions of cells in the data of the model."
            raise ValueError(message)
        if pool.min() < 0 or pool.max() >= n_cells:
            message = f"`indices` reach from {pool.min()} to {pool.max()}; the model has the cells 0 to {n_cells - 1}."
            raise ValueError(message)
        return pool


def _library(adapter: Adapter, request: _Request, context: CellContext, mode: Any) -> np.ndarray:
    """Return the library size (or size factor) of each synthetic cell, ``(n_obs,)``."""
    n_obs, rng = len(request.cells), request.library_rng
    if adapter.likelihood in _WITHOUT_LIBRARY:
        return np.ones(n_obs)
    is_latent = "latent_library" in adapter.capabilities
    if not isinstance(mode, str):
        try:
            values = np.asarray(mode, dtype=float)
        except (TypeError, ValueError) as error:
            message = f"library={reprlib.repr(mode)} was given; choose 'observed', 'paired', 'latent' or pass numbers."
            raise ValueError(message) from error
        if values.ndim > 1 or (values.ndim == 1 and len(values) != n_obs):
            message = f"`library` has the shape {values.shape}; pass one number or {n_obs}."
            raise ValueError(message)
        if not (np.isfinite(values) & (values > 0)).all():
            message = "`library` must be positive and finite."
            raise ValueError(message)
        return np.broadcast_to(values, n_obs).copy()
    if mode == "observed":
        return _observed_library(adapter, request, context.batch)
    if mode == "paired" and request.source == "prior":
        message = "library='paired' needs a cell behind each latent point; the prior has none. Use 'observed'."
        raise ValueError(message)
    if mode == "paired":
        if not is_latent:
            return context.exposure
        cells, inverse = np.unique(request.cells, return_inverse=True)
        mean, variance = (values[inverse] for values in adapter.encode_library(cells))
        return np.exp(rng.normal(mean, np.sqrt(variance)))
    if mode == "latent":
        if not is_latent:
            message = "library='latent' needs a model with use_observed_lib_size=False. Use 'observed' or numbers."
            raise ValueError(message)
        mean, variance = adapter.library_prior(context.batch)
        return np.exp(rng.normal(mean, np.sqrt(variance)))
    message = f"library={mode!r} was given; choose 'observed', 'paired', 'latent' or pass numbers."
    raise ValueError(message)


def _observed_library(adapter: Adapter, request: _Request, batch: np.ndarray) -> np.ndarray:
    """Draw the library size of each cell from the source cells of its batch, or from all if it has none."""
    observed = adapter.context(request.pool)
    exposure = np.empty(len(batch))
    for code in np.unique(batch):
        rows = batch == code
        members = observed.exposure[observed.batch == code]
        exposure[rows] = request.library_rng.choice(members if len(members) else observed.exposure, rows.sum())
    return exposure


def _latent_points(adapter: Adapter, request: _Request, context: CellContext) -> np.ndarray:
    if request.source == "prior":
        return adapter.prior(context, request.latent_rng)
    cells, inverse = np.unique(request.cells, return_inverse=True)
    mean, variance = (np.asarray(part, dtype=np.float64)[inverse] for part in adapter.encode(cells))
    return adapter.draw_latent(mean, variance, request.latent_rng)


def draw_cells(
    adapter: Adapter, z: np.ndarray, context: CellContext, rng: np.random.Generator, *, progress: bool
) -> sparse.csr_matrix | np.ndarray:
    """Decode and draw block by block; counts never stand in memory as a dense matrix."""
    sampler = LikelihoodSampler(adapter.likelihood, rng)
    blocks = []
    starts = range(0, len(z), CELLS_AT_ONCE)
    for start in tqdm(starts, desc="Drawing cells", unit="block", delay=2, disable=not progress):
        rows = slice(start, start + CELLS_AT_ONCE)
        drawn = sampler.draw(adapter.decode(z[rows], context.take(rows))).astype(np.float32)
        blocks.append(drawn if adapter.likelihood == "normal" else sparse.csr_matrix(drawn))
    return np.concatenate(blocks) if adapter.likelihood == "normal" else sparse.vstack(blocks, format="csr")


def _assemble(
    adapter: Adapter,
    request: _Request,
    context: CellContext,
    x: sparse.csr_matrix | np.ndarray,
    z: np.ndarray,
    params: dict[str, Any],
) -> AnnData:
    real = adapter.model.adata
    names = pd.Index([f"synthetic_{index}" for index in range(len(z))])
    registered = _registered_columns(adapter)
    columns = [name for name in real.obs.columns if not name.startswith("_scvi")]
    if request.source != "posterior":
        columns = [name for name in columns if name in registered.values()]
    obs = real.obs.iloc[request.cells][columns].set_axis(names)
    if "batch" in registered:
        obs[registered["batch"]] = pd.Categorical(adapter.categories("batch")[context.batch])
    if "labels" in registered and request.source == "prior":
        obs[registered["labels"]] = pd.Categorical(adapter.categories("labels")[context.labels])
    elif request.labels is not None:
        obs[labels_key(adapter)] = pd.Categorical(np.broadcast_to(np.asarray(request.labels).astype(str), len(z)))
    for name, values in covariate_columns(adapter, context).items():
        obs[name] = values
    if adapter.likelihood not in _WITHOUT_LIBRARY:
        obs["size_factor" if "size_factor" in adapter.capabilities else keys.LIBRARY] = context.exposure
    if request.source == "posterior":
        obs[keys.SOURCE_CELL] = real.obs_names[request.cells].to_numpy()
    var = real.var.copy()
    uns = {keys.SAMPLE: {"params": {name: plain(value) for name, value in params.items()}}}
    return AnnData(X=x, obs=obs, var=var, obsm={keys.LATENT: z}, uns=uns)


def _registered_columns(adapter: Adapter) -> dict[str, str]:
    """Return the ``obs`` columns that the model was set up with, by role; covariates count each for itself."""
    setup = adapter.model.registry_["setup_args"]
    labelled = "labelled_prior" in adapter.capabilities
    columns = {"batch": setup.get("batch_key"), "labels": setup.get("labels_key") if labelled else None}
    for argument in ("categorical_covariate_keys", "continuous_covariate_keys"):
        columns |= {key: key for key in setup.get(argument) or ()}
    return {role: key for role, key in columns.items() if key is not None}
