"""Two-dimensional embeddings of cells, all from the same input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from scgauge._core.adapter import shell
from scgauge._core.checks import check_finite, check_nonnegative, check_obsm_key
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.normalise import log_normalise, median_library
from scgauge._core.optional import later
from scgauge._core.rng import seeded
from scgauge._core.stored_rows import take_cells
from scgauge.model import CountVI, LinearVI
from scgauge.tl._cell_space import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Takes the shared input ``(n_cells, n_features)`` and a seed, returns coordinates.
    OwnMethod: TypeAlias = Callable[[np.ndarray, int], np.ndarray]
    Methods: TypeAlias = str | Sequence[str] | Mapping[str, OwnMethod | None]

BUILT_IN = ("pca", "tsne", "umap", "vae", "ldvae")
#: Methods that read counts instead of the shared input.
_MODELS = {"vae": CountVI, "ldvae": LinearVI}
#: Arguments of the methods that belong to `train`, all others to the model.
_OF_TRAINING = frozenset(
    {"max_epochs", "batch_size", "train_size", "early_stopping", "plan_kwargs", "accelerator", "devices"}
)
#: Default perplexity and numbers of neighbours, and the number of cells above which neighbours may be approximate.
_PERPLEXITY, _N_NEIGHBORS, _EXACT_UP_TO = 30.0, 15, 10_000


def as_methods(methods: Methods) -> dict[str, OwnMethod | None]:
    """Return the methods by name, with a function for each that is not built in.

    Raises
    ------
    ValueError
        If there is none, one repeats, or a name is unknown.
    """
    if isinstance(methods, str):
        methods = [methods]
    found: dict[str, Any] = dict(methods) if isinstance(methods, Mapping) else dict.fromkeys(methods)
    unknown = [name for name, function in found.items() if name not in BUILT_IN and not callable(function)]
    if not found or unknown or len(found) < len(methods):
        message = (
            f"methods={list(methods)!r} needs one or several different names of {list(BUILT_IN)}, or a mapping from a "
            "name to a function of (points, seed) that returns coordinates."
        )
        raise ValueError(message)
    return found


def check_options(options: Mapping[str, Mapping[str, Any]] | None, methods: Mapping[str, Any]) -> None:
    """Raise ValueError if options name a method that is not asked for."""
    unknown = sorted(set(options or ()) - set(methods))
    if unknown:
        message = f"options name {unknown}; methods are {list(methods)}."
        raise ValueError(message)


@dataclass(frozen=True)
class EmbeddingInput:
    """What all methods embed.

    Attributes
    ----------
    adata
        Cells; models read their counts.
    points
        What the other methods read, ``(n_cells, n_features)``.
    layer
        Layer with the counts.
    """

    adata: AnnData
    points: np.ndarray
    layer: str | None

    def take(self, rows: np.ndarray) -> EmbeddingInput:
        """Return some of the cells."""
        return EmbeddingInput(take_cells(self.adata, rows), self.points[rows], self.layer)


def shared_input(
    adata: AnnData,
    *,
    use_rep: str | None,
    layer: str | None,
    n_pcs: int,
    seed: int,
    log_normalised: bool | None = None,
) -> EmbeddingInput:
    """Return a representation of the cells, or principal components of their log-normalised counts.

    Parameters
    ----------
    adata
        Cells.
    use_rep
        Key of the representation.
    layer
        Layer with the counts.
    n_pcs
        Most principal components.
    seed
        Seed of the decomposition.
    log_normalised
        Whether to log-normalise first; if the data are counts when ``None``.

    Raises
    ------
    KeyError
        If the representation or layer does not exist.
    ValueError
        If there are fewer than four cells, coordinates are not finite or put all cells at one place, or what is to be
        log-normalised is negative.
    """
    if adata.n_obs < 4:
        message = f"`adata` has {adata.n_obs} cells; four are needed for an embedding."
        raise ValueError(message)
    stored = get_matrix(adata, layer)
    if use_rep is not None:
        points = check_obsm_key(adata, use_rep)
    else:
        (check_nonnegative if log_normalised else check_finite)(adata, layer)
        matrix = as_rows(stored)
        if log_normalised or (log_normalised is None and kind_of(matrix) == "counts"):
            matrix = log_normalise(matrix, median_library(matrix))
        n_pcs = min(n_pcs, *(size - 1 for size in matrix.shape))
        if n_pcs < 1:
            message = f"`adata` has {adata.n_vars} genes; two are needed for principal components. Pass use_rep=..."
            raise ValueError(message)
        if sparse.issparse(matrix):
            solver = "covariance_eigh" if matrix.shape[1] <= 1000 and adata.n_obs > n_pcs else "arpack"
            rows = sparse.csr_matrix(matrix, dtype=float)
            points = PCA(n_pcs, svd_solver=solver, random_state=seed).fit_transform(rows)
        else:
            points = PCA(n_pcs, random_state=seed).fit_transform(np.asarray(matrix, dtype=np.float64))
    if not np.ptp(points, axis=0).any():
        message = f"All {adata.n_obs} cells are at one place in the input; there is nothing to embed."
        raise ValueError(message)
    return EmbeddingInput(adata, points, layer)


def _start(points: np.ndarray, n_components: int) -> np.ndarray:
    """First principal components, filled up with zeros if there are too few."""
    n_found = min(n_components, *points.shape)
    start = PCA(n_found, svd_solver="full").fit_transform(points)
    return np.pad(start, ((0, 0), (0, n_components - n_found)))


def _tsne(points: np.ndarray, start: np.ndarray, seed: int, options: Mapping[str, Any]) -> np.ndarray:
    """Fit t-SNE from principal components: openTSNE if it is installed, else scikit-learn."""
    settings = {"perplexity": min(_PERPLEXITY, (len(points) - 1) / 3), **options}
    if 3 * settings["perplexity"] > len(points) - 1:
        message = (
            f"perplexity={settings['perplexity']} needs more than three times as many cells; found {len(points)}. "
            "Pass a smaller one in options={'tsne': {'perplexity': ...}}."
        )
        raise ValueError(message)
    if find_spec("openTSNE") is None:
        small = start / (start[:, 0].std() or 1.0) * 1e-4
        settings = {"learning_rate": "auto", "init": small.astype(np.float32), **settings}
        return TSNE(start.shape[1], random_state=seed, **settings).fit_transform(points)
    package = later("openTSNE")
    settings = {
        "initialization": package.initialization.rescale(start),
        "neighbors": "exact" if len(points) <= _EXACT_UP_TO else "auto",
        "n_jobs": 1,
        **settings,
    }
    return np.asarray(package.TSNE(start.shape[1], random_state=seed, **settings).fit(points))


def _umap(points: np.ndarray, start: np.ndarray, seed: int, options: Mapping[str, Any]) -> np.ndarray:
    """Fit UMAP as scanpy does, from principal components."""
    settings = dict(options)
    n_neighbors = settings.pop("n_neighbors", min(_N_NEIGHBORS, len(points) - 1))
    if not 2 <= n_neighbors < len(points):
        message = f"n_neighbors={n_neighbors} of UMAP needs to be from 2 to {len(points) - 1}, one less than the cells."
        raise ValueError(message)
    scanpy = later("scanpy")
    cells = AnnData(np.zeros((len(points), 1), dtype=np.float32), obsm={"X_input": points})
    # Exact neighbours; the approximate ones that scanpy takes from 8,192 cells on fail under scipy 1.17.
    scanpy.pp.neighbors(cells, use_rep="X_input", n_neighbors=n_neighbors, transformer="sklearn", random_state=seed)
    spread = np.abs(start).max()
    settings = {"init_pos": (10 * start / spread).astype(np.float32), "n_components": start.shape[1], **settings}
    scanpy.tl.umap(cells, random_state=seed, **settings)
    return np.asarray(cells.obsm["X_umap"])


def _latent(name: str, cells: EmbeddingInput, n_components: int, seed: int, options: Mapping[str, Any]) -> np.ndarray:
    """Train a model with as many latent dimensions and return the latent means."""
    training = {"enable_progress_bar": False} | {key: options[key] for key in options if key in _OF_TRAINING}
    network = {"n_latent": n_components} | {key: options[key] for key in options if key not in _OF_TRAINING}
    data = shell(cells.adata)
    model_class: Any = _MODELS[name]
    with seeded(seed):
        model_class.setup_anndata(data, layer=cells.layer)
        model = model_class(data, **network)
        model.train(**training)
        return model.get_latent_representation()


def embed_cells(
    name: str,
    method: OwnMethod | None,
    cells: EmbeddingInput,
    *,
    n_components: int = 2,
    seed: int,
    options: Mapping[str, Any] | None = None,
    start: Literal["pca", "random"] = "pca",
) -> np.ndarray:
    """Embed cells by one method.

    Parameters
    ----------
    name
        Name of the method.
    method
        Function of the input and a seed for a method that is not built in.
    cells
        Input of all methods.
    n_components
        Dimensions of the embedding.
    seed
        Seed of everything random in the method.
    options
        Further arguments of the method.
    start
        Where t-SNE and UMAP begin: at principal components or at random places.

    Returns
    -------
    Coordinates, ``(n_cells, n_components)``, float64.

    Raises
    ------
    ValueError
        If the method returns something else than one finite point for each cell.
    """
    options = options or {}
    if method is not None:
        found = method(cells.points, seed, **options)
    elif name in _MODELS:
        found = _latent(name, cells, n_components, seed, options)
    else:
        places = _start(cells.points, n_components)
        if start == "random" and name != "pca":
            places = np.random.default_rng(seed).normal(size=places.shape)
        found = places if name == "pca" else {"tsne": _tsne, "umap": _umap}[name](cells.points, places, seed, options)
    found = np.asarray(found, dtype=np.float64)
    if found.ndim != 2 or len(found) != len(cells.points) or not np.isfinite(found).all():
        message = (
            f"The method {name!r} returned the shape {found.shape}, or values that are not finite; one finite point "
            f"for each of the {len(cells.points)} cells is needed."
        )
        raise ValueError(message)
    return found
