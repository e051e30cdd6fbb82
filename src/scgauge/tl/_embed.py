from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata
from scgauge._core.keys import EMBED
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store
from scgauge.tl._embedding_methods import as_methods, check_options, embed_cells, shared_input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData


def _package(name: str) -> str:
    """Package behind a method, with its version."""
    names = {
        "pca": "scikit-learn",
        "tsne": "scikit-learn" if find_spec("openTSNE") is None else "openTSNE",
        "umap": "umap-learn",
    }
    package = names.get(name, "scgauge" if name in {"vae", "ldvae"} else "")
    return f"{package} {version(package)}" if package else ""


def _table(found: Mapping[str, np.ndarray], bases: Mapping[str, str]) -> pd.DataFrame:
    """Which method made which embedding with what."""
    columns = {
        "method": list(found),
        "basis": list(bases.values()),
        "n_dims": [points.shape[1] for points in found.values()],
        "package": [_package(name) for name in found],
    }
    return pd.DataFrame(columns)


def embed(  # noqa: PLR0913 - eight without `rng`, `progress`, `key_added` and `copy`
    adata: AnnData,
    *,
    methods: str | Sequence[str] | Mapping[str, Callable[[np.ndarray, int], np.ndarray] | None] = (
        "pca",
        "tsne",
        "umap",
        "vae",
    ),
    use_rep: str | None = None,
    layer: str | None = None,
    n_components: int = 2,
    n_pcs: int = 50,
    model: Any = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    rng: RNG = None,
    progress: bool = True,
    key_added: str = EMBED,
    copy: bool = False,
) -> AnnData | None:
    """Embed cells by PCA, t-SNE, UMAP and variational autoencoders (trained here), all from the same input.

    The input is log-normalised (every cell scaled to the median library size, then log(1 + x); data that are no counts
    are taken as they are) and reduced to principal components, of which PCA shows the first; t-SNE
    :cite:p:`Policar24` and UMAP :cite:p:`McInnes18` embed all of them and start from those that PCA shows. A
    :class:`~scgauge.model.CountVI` (``"vae"``) or :class:`~scgauge.model.LinearVI` (``"ldvae"``) with as many latent
    dimensions is trained on the counts of the same cells and genes. Score the result with
    :func:`scgauge.tl.embedding_quality` and draw it with :func:`scanpy.pl.embedding`.

    Parameters
    ----------
    adata
        Annotated data matrix with counts. Choose genes before.
    methods
        One or several of ``"pca"``, ``"tsne"``, ``"umap"``, ``"vae"`` and ``"ldvae"``; or a mapping from names to
        functions that take the input ``(n_obs, n_features)`` and a seed and return coordinates (``None`` for a method
        that is built in).
    use_rep
        Key in ``adata.obsm`` of the input, for example an integrated space; principal components of the counts if
        ``None``.
    layer
        Layer with the counts, ``adata.X`` if ``None``.
    n_components
        Dimensions of the embeddings.
    n_pcs
        Principal components of the input, at most one less than cells and genes.
    model
        Trained model whose latent means are the embedding ``"vae"``, in place of a new one. It keeps its number of
        dimensions.
    options
        Further arguments by method: for t-SNE those of ``openTSNE.TSNE`` (:class:`sklearn.manifold.TSNE` where
        openTSNE is not installed), for UMAP ``n_neighbors`` and those of :func:`scanpy.tl.umap`, for models those of
        the class and of its ``train``, for example ``{"vae": {"max_epochs": 100}}``.
    rng
        Seed or Generator; all methods get the same seed.
    progress
        Whether to show a progress bar over the methods.
    key_added
        Part of the names under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"X_{key_added}_{methods}"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Coordinates of each method, ``(n_obs, n_components)``.
    ``adata.obsm[f"X_{key_added}_input"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        The input of the methods: the space to score embeddings against.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call. ``"methods"``: data frame with the columns ``method``, ``basis`` (key
        in ``adata.obsm``), ``n_dims`` and ``package``, with its version.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or ``model`` cannot be read.
    KeyError
        If ``use_rep`` or ``layer`` does not exist.
    ValueError
        If a method is unknown, an option goes with no method, the input is not finite or constant, or there are too
        few cells for a perplexity or number of neighbours.
    RuntimeError
        If ``model`` is not trained.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.tl.embed(adata, methods=["pca", "tsne"], n_pcs=10, rng=0, progress=False)
    >>> adata.obsm["X_embed_tsne"].shape, adata.obsm["X_embed_input"].shape
    ((60, 2), (60, 10))
    """
    check_adata(adata)
    wanted = as_methods(methods)
    check_options(options, wanted)
    if n_components < 1 or n_pcs < 1:
        message = f"n_components={n_components} and n_pcs={n_pcs} were given; both need to be at least 1."
        raise ValueError(message)
    if model is not None and "vae" not in wanted:
        message = f"`model` is the embedding 'vae', which methods={list(wanted)} does not name."
        raise ValueError(message)
    adapter = None if model is None else adapt(model)
    seed = int(generator(rng).integers(2**31))
    cells = shared_input(adata, use_rep=use_rep, layer=layer, n_pcs=n_pcs, seed=seed)
    found = {}
    bar = tqdm(wanted.items(), desc="Embedding", unit="method", disable=not progress)
    for name, method in bar:
        bar.set_postfix_str(name)
        if name == "vae" and adapter is not None:
            found[name] = np.asarray(adapter.encode(adata=adata)[0], dtype=np.float64)
            continue
        found[name] = embed_cells(
            name, method, cells, n_components=n_components, seed=seed, options=(options or {}).get(name)
        )
    bases = {name: f"X_{key_added}_{name}" for name in found}
    params = {
        "methods": list(wanted),
        "use_rep": use_rep,
        "layer": layer,
        "n_components": n_components,
        "n_pcs": cells.points.shape[1],
        "model": None if model is None else type(model).__name__,
        "options": {name: dict(values) for name, values in (options or {}).items()},
        "rng": rng,
        "seed": seed,
    }
    obsm = {bases[name]: points for name, points in found.items()} | {f"X_{key_added}_input": cells.points}
    return store(adata, copy=copy, obsm=obsm, uns={key_added: {"params": params, "methods": _table(found, bases)}})
