from __future__ import annotations

import pandas as pd
from anndata import AnnData

from scgauge._core import keys
from scgauge._core.counts import recover_counts
from scgauge._core.optional import later


def pbmc68k_counts() -> AnnData:
    """Peripheral blood cells with integer counts, from the set that ships inside scanpy; needs no network.

    700 cells x 765 variable genes of the 68,579 cells of a healthy donor, sequenced by 10x Genomics and typed by
    correlation with purified populations :cite:p:`Zheng17`. scanpy stores them normalised, logged and rounded to
    three decimals; the counts are recovered exactly (see :func:`scgauge.pp.recover_counts`; the largest residual,
    0.05 counts, is in ``uns``). Library sizes are sums over these 765 genes.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Integer counts, ``(700, 765)``.
    ``adata.obs``
        ``"cell_type"``, ten types as published; ``"louvain"``, the clusters of scanpy; ``"phase"``, of the cell cycle.
    ``adata.obsm['X_umap']`` : :class:`numpy.ndarray`
        UMAP that ships with the data, ``(700, 2)``.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and the residual of the recovery.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.pbmc68k_counts()
    >>> adata.shape, float(adata.X[0].sum())
    ((700, 765), 628.0)
    """
    packed = later("scanpy").datasets.pbmc68k_reduced()
    recovered = recover_counts(packed.raw.X, logged=True)
    obs = pd.DataFrame(
        {
            "cell_type": packed.obs["bulk_labels"].astype("category"),
            "louvain": packed.obs["louvain"].astype("category"),
            "phase": packed.obs["phase"].astype("category"),
        },
        index=packed.obs_names.astype(str).rename(None),
    )
    note = {
        "name": "pbmc68k_counts",
        "citation": "Zheng et al. 2017 Nature Communications 8:14049",
        "licence": "CC BY 4.0 (10x Genomics)",
        "source": "scanpy.datasets.pbmc68k_reduced",
        "residual": recovered.residual,
    }
    return AnnData(
        X=recovered.counts,
        obs=obs,
        var=pd.DataFrame(index=packed.raw.var_names.astype(str).rename(None)),
        obsm={"X_umap": packed.obsm["X_umap"].copy()},
        uns={keys.DATASET: note},
    )
