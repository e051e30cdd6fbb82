from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.counts import recover_counts
from scgauge.datasets._annotation import categories, read_old_h5ad, unique
from scgauge.datasets._r_files import read_r
from scgauge.datasets._registry import fetch, note


def worm_embryo() -> AnnData:
    """Ciliated neurons of the embryo of C. elegans over nine hours, a time series :cite:p:`Packer19`.

    1805 cells x 10,000 genes, UMI counts. The time of each cell was estimated by the authors from bulk data.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(1805, 10000)``.
    ``adata.obs``
        ``"time"``, hours after fertilisation, continuous; ``"time_bin"``, the eight bins of the authors;
        ``"time_point"``, when the embryos were taken (300, 400 or 500 minutes, or mixed);
        ``"cell_type"``, nine types; ``"lineage"`` (missing for 106 cells); ``"batch"``, seven.
    ``adata.var['gene_id']``
        WormBase identifier.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and ``"time_unit"``.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.worm_embryo()  # doctest: +SKIP
    """
    parts = {
        part: read_r(fetch("worm_embryo", f"worm_embryo_{part}.rds"))
        for part in ("expression_matrix", "coldata", "rowdata")
    }
    counts, cells, genes = parts["expression_matrix"], parts["coldata"], parts["rowdata"]
    cells = cells.loc[counts.columns]
    obs = pd.DataFrame(
        {
            "time": cells["embryo.time"].to_numpy(dtype=float) / 60,
            "time_bin": categories(cells["embryo.time.bin"]),
            "time_point": categories(cells["time.point"]),
            "cell_type": categories(cells["cell.type"]),
            "lineage": categories(cells["lineage"]),
            "batch": categories(cells["batch"]),
        },
        index=pd.Index(counts.columns),
    )
    names = genes.loc[counts.rows, "gene_short_name"].astype(str)
    var = pd.DataFrame({"gene_id": counts.rows}, index=unique(names))
    adata = AnnData(sparse.csr_matrix(counts.matrix.T, dtype=np.float32), obs=obs, var=var)
    adata.uns[keys.DATASET] = note("worm_embryo", "Packer et al. 2019 Science 365:eaax1971", time_unit="hours")
    return adata


def klein2015_subset() -> AnnData:
    """Mouse embryonic stem cells after withdrawal of LIF, a time series :cite:p:`Klein15`.

    1000 cells x 900 highly expressed genes, UMI counts, at days 0, 2, 4 and 7 (359, 101, 248 and 292 cells). The file
    numbers its cells.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(1000, 900)``.
    ``adata.obs['time']``
        Days after withdrawal.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and ``"time_unit"``.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.klein2015_subset()  # doctest: +SKIP
    """
    profile = pd.read_csv(fetch("klein2015_subset", "profile.txt"), index_col=0)
    labels = np.loadtxt(fetch("klein2015_subset", "labels.txt"))
    # The file numbers the four days.
    days = np.array([0.0, 2.0, 4.0, 7.0])[np.unique(labels, return_inverse=True)[1]]
    obs = pd.DataFrame({"time": days}, index=profile.columns.astype(str))
    var = pd.DataFrame(index=profile.index.astype(str).rename(None))
    adata = AnnData(sparse.csr_matrix(profile.to_numpy().T, dtype=np.float32), obs=obs, var=var)
    adata.uns[keys.DATASET] = note("klein2015_subset", "Klein et al. 2015 Cell 161:1187", time_unit="days")
    return adata


def schiebinger_moscot1000() -> AnnData:
    """Fibroblasts being reprogrammed, a time series; the subset that moscot tests with :cite:p:`Schiebinger19`.

    1000 cells x 1479 genes at days 10, 10.5 and 11. The file is normalised and logged; the integer counts are
    recovered exactly (see :func:`scgauge.pp.recover_counts`).

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(1000, 1479)``.
    ``adata.obs``
        ``"time"``, days; ``"cell_type"``, six types.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source, ``"time_unit"`` and the residual of the recovery.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.schiebinger_moscot1000()  # doctest: +SKIP
    """
    packed = read_old_h5ad("schiebinger_moscot1000", "moscot_temporal_tests.h5ad")
    recovered = recover_counts(packed.X, logged=True)
    obs = pd.DataFrame(
        {
            "time": packed.obs["day"].astype(float).to_numpy(),
            "cell_type": categories(packed.obs["cell_type"]),
        },
        index=packed.obs_names.astype(str).rename(None),
    )
    adata = AnnData(recovered.counts, obs=obs, var=pd.DataFrame(index=packed.var_names.astype(str).rename(None)))
    citation = "Schiebinger et al. 2019 Cell 176:928"
    adata.uns[keys.DATASET] = note("schiebinger_moscot1000", citation, time_unit="days", residual=recovered.residual)
    return adata
