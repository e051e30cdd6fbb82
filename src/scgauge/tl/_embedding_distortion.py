from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obsm_key
from scgauge._core.keys import EMBEDDING_DISTORTION
from scgauge._core.store import store
from scgauge.metrics import embedding_distortion as distort
from scgauge.tl._embedding_quality import bases_of, input_of_neighbors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def embedding_distortion(
    adata: AnnData,
    *,
    basis: str | Sequence[str],
    use_rep: str | None = "X_pca",
    n_neighbors: int = 50,
    bandwidth: float | None = None,
    key_added: str = EMBEDDING_DISTORTION,
    copy: bool = False,
) -> AnnData | None:
    """Measure where embeddings stretch, squeeze and tear the space that they show.

    Each cell gets the Riemannian metric of the embedding there :cite:p:`PerraultJoncas13`, from it how much larger than
    elsewhere true areas are drawn and in how unequal directions, and the share of its true neighbours that were torn
    away from it; see :func:`scgauge.metrics.embedding_distortion`. Draw with :func:`scgauge.pl.distortion`.

    Parameters
    ----------
    adata
        Annotated data matrix with embeddings of the cells.
    basis
        Key or keys in ``adata.obsm`` of the embeddings.
    use_rep
        Key in ``adata.obsm`` of the space that they should show; ``None`` takes the representation of the neighbour
        graph that scanpy recorded.
    n_neighbors
        Number of true neighbours of each cell, below half the number of cells.
    bandwidth
        Bandwidth of the kernel in the units of ``use_rep``; the median distance to the last of the neighbours if
        ``None``.
    key_added
        Start of the names under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obsm[f"{key_added}_{basis}_metric"]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Dual metric at each cell, row by row, ``(n_obs, n_dims ** 2)``, for each basis.
    ``adata.obs[f"{key_added}_{basis}_log_area"]`` : :class:`pandas.Series`
        Log of how much larger than the median true areas are drawn at each cell.
    ``adata.obs[f"{key_added}_{basis}_anisotropy"]`` : :class:`pandas.Series`
        Largest through smallest stretch at each cell.
    ``adata.obs[f"{key_added}_{basis}_broken"]`` : :class:`pandas.Series`
        Share of the true neighbours that were torn away.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``: the arguments of this call, with ``use_rep`` and ``bandwidth`` as used. ``"scores"``: data frame
        with the columns ``basis``, ``metric`` (``"log_area_sd"``, ``"anisotropy_median"``, ``"broken_mean"``) and
        ``value``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If a basis or ``use_rep`` does not exist.
    ValueError
        If coordinates are not finite or put all cells at one place; if the number of neighbours or the bandwidth is out
        of range; if cells have as many exact copies as neighbours; if ``basis`` is empty or repeats a key.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((300, 1), dtype="float32"))
    >>> adata.obsm["X_pca"] = np.random.default_rng(0).uniform(size=(300, 2))
    >>> adata.obsm["X_wide"] = adata.obsm["X_pca"] * [3.0, 1.0]
    >>> scgauge.tl.embedding_distortion(adata, basis="X_wide", n_neighbors=30)
    >>> round(float(adata.obs["embedding_distortion_X_wide_anisotropy"].median()))
    3
    """
    check_adata(adata)
    names = bases_of(basis)
    use_rep = input_of_neighbors(adata) if use_rep is None else use_rep
    reference = check_obsm_key(adata, use_rep)
    embeddings = {name: check_obsm_key(adata, name, argument="basis") for name in names}
    obs: dict[str, np.ndarray] = {}
    obsm: dict[str, np.ndarray] = {}
    rows: list[tuple[str, str, float]] = []
    used = 0.0
    for name, points in embeddings.items():
        found = distort(reference, points, n_neighbors=n_neighbors, bandwidth=bandwidth)
        start, used = f"{key_added}_{name}", found.bandwidth
        obsm[f"{start}_metric"] = found.metric.reshape(adata.n_obs, -1)
        obs |= {f"{start}_{field}": getattr(found, field) for field in ("log_area", "anisotropy", "broken")}
        finite = found.log_area[np.isfinite(found.log_area)]
        spread = float(finite.std()) if len(finite) else float("nan")
        rows += [
            (name, "log_area_sd", spread),
            (name, "anisotropy_median", float(np.median(found.anisotropy))),
            (name, "broken_mean", float(found.broken.mean())),
        ]
    params = {"basis": names, "use_rep": use_rep, "n_neighbors": n_neighbors, "bandwidth": used}
    scores = pd.DataFrame(rows, columns=["basis", "metric", "value"])
    return store(adata, copy=copy, obs=obs, obsm=obsm, uns={key_added: {"params": params, "scores": scores}})
