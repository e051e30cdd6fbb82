from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scgauge._core import keys
from scgauge._core.counts import recover_counts
from scgauge._core.optional import later
from scgauge.datasets._annotation import categories, read_old_h5ad, unique
from scgauge.datasets._r_files import read_r
from scgauge.datasets._registry import fetch, note

if TYPE_CHECKING:
    from pathlib import Path


def pbmc_scvijl() -> AnnData:
    """Peripheral blood cells of two donors, 200 genes, the example of scVI.jl.

    7480 cells x 200 genes, UMI counts of the sets "8k" and "4k" of 10x Genomics, as in the first scVI tutorials
    :cite:p:`Lopez18`.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(7480, 200)``.
    ``adata.obs['cell_type']``
        Seven types; missing for the 32 cells of which the source says "NA".
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence and source.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.pbmc_scvijl()  # doctest: +SKIP
    """
    packed = read_old_h5ad("pbmc_scvijl", "pbmc.h5ad")
    obs = pd.DataFrame(
        {"cell_type": categories(packed.obs["cell_type"])},
        index=packed.obs_names.astype(str).rename(None),
    )
    names = packed.var["gene_names"].astype(str) if "gene_names" in packed.var else packed.var_names.astype(str)
    adata = AnnData(
        sparse.csr_matrix(packed.layers["counts"], dtype=np.float32), obs=obs, var=pd.DataFrame(index=unique(names))
    )
    adata.uns[keys.DATASET] = note("pbmc_scvijl", "10x Genomics PBMC 8k and 4k; Hackenberg, scVI.jl")
    return adata


def pbmc_facs(*, split: Literal["train", "test"] = "train") -> AnnData:
    """Blood cells that were purified by FACS, so that their types are known :cite:p:`Zheng17`.

    3774 cells (and 100 more in the test split) x 16,791 genes, UMI counts, as packed by fastTopics.

    Parameters
    ----------
    split
        Which of the two splits of the source.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts.
    ``adata.obs``
        ``"cell_type"``, ten purified populations; ``"subpopulation"``, five groups of them.
    ``adata.var['gene_id']``
        Ensembl identifier.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence and source.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one or `split` has another value.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.pbmc_facs()  # doctest: +SKIP
    """
    if split not in {"train", "test"}:
        message = f"split={split!r} was given; choose 'train' or 'test'."
        raise ValueError(message)
    packed = read_r(fetch("pbmc_facs", "pbmc_facs.RData"))["pbmc_facs"]
    suffix = "" if split == "train" else "_test"
    counts, samples, genes = packed[f"counts{suffix}"], packed[f"samples{suffix}"], packed["genes"]
    samples.columns = [str(name) for name in samples.columns]
    obs = pd.DataFrame(
        {
            "cell_type": categories(samples["celltype"]),
            "subpopulation": categories(samples["subpop"]),
        },
        index=unique(samples["barcode"]),
    )
    genes.columns = [str(name) for name in genes.columns]
    var = pd.DataFrame({"gene_id": genes["ensembl"].astype(str).to_numpy()}, index=unique(genes["symbol"]))
    adata = AnnData(sparse.csr_matrix(counts.matrix, dtype=np.float32), obs=obs, var=var)
    adata.uns[keys.DATASET] = note("pbmc_facs", "Zheng et al. 2017 Nature Communications 8:14049", split=split)
    return adata


def scgen_kang() -> AnnData:
    """Blood cells with and without interferon beta, the validation split of scGen :cite:p:`Kang18`.

    1975 cells x 6998 genes. The file is normalised and logged; the integer counts are recovered exactly (see
    :func:`scgauge.pp.recover_counts`).

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(1975, 6998)``.
    ``adata.obs``
        ``"condition"``, control or stimulated; ``"cell_type"``, seven types.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and the residual of the recovery.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.scgen_kang()  # doctest: +SKIP
    """
    packed = read_old_h5ad("scgen_kang", "valid.h5ad")
    recovered = recover_counts(packed.X, logged=True)
    obs = pd.DataFrame(
        {key: categories(packed.obs[key]) for key in ("condition", "cell_type")},
        index=packed.obs_names.astype(str).rename(None),
    )
    adata = AnnData(recovered.counts, obs=obs, var=pd.DataFrame(index=packed.var_names.astype(str).rename(None)))
    citation = "Kang et al. 2018 Nature Biotechnology 36:89; Lotfollahi et al. 2019 Nature Methods 16:715"
    adata.uns[keys.DATASET] = note("scgen_kang", citation, residual=recovered.residual)
    return adata


def covid_balf_liao2020() -> AnnData:
    """Bronchoalveolar cells of two patients with COVID-19, one moderate and one severe :cite:p:`Liao20`.

    3716 and 4111 cells x 33,539 genes (the virus among them), UMI counts. There are no cell labels.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(7827, 33539)``.
    ``adata.obs``
        ``"patient"``, C144 or C146; ``"severity"``, moderate (C144) or severe (C146).
    ``adata.var['gene_id']``
        Ensembl identifier.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence and source.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.covid_balf_liao2020()  # doctest: +SKIP
    """
    files = {"C144": "GSM4339772_C144", "C146": "GSM4339774_C146"}
    parts = {
        patient: _read_10x(fetch("covid_balf_liao2020", f"{file}_filtered_feature_bc_matrix.h5"))
        for patient, file in files.items()
    }
    adata = anndata.concat(parts, label="patient", index_unique="-", merge="same")
    adata.obs["patient"] = adata.obs["patient"].astype("category")
    severity = adata.obs["patient"].astype(str).map({"C144": "moderate", "C146": "severe"})
    adata.obs["severity"] = pd.Categorical(severity)
    adata.uns[keys.DATASET] = note("covid_balf_liao2020", "Liao et al. 2020 Nature Medicine 26:842")
    return adata


def _read_10x(path: Path) -> AnnData:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variable names are not unique", category=UserWarning)
        packed = later("scanpy").read_10x_h5(path)
    var = pd.DataFrame({"gene_id": packed.var["gene_ids"].astype(str).to_numpy()}, index=unique(packed.var_names))
    return AnnData(sparse.csr_matrix(packed.X, dtype=np.float32), obs=pd.DataFrame(index=packed.obs_names), var=var)
