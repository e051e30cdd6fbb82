from __future__ import annotations

import gzip
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from scipy import sparse

from scgauge._core import keys
from scgauge.datasets._annotation import categories, unique
from scgauge.datasets._cache import cached
from scgauge.datasets._r_files import read_r
from scgauge.datasets._registry import fetch, note

#: Libraries of hemato_tusi2018 in the order of the published subset.
_LIBRARIES = ("P9A", "P11A", "P11B", "P12A")
_MIXTURES = ("sc_celseq2", "sc_dropseq", "RNAmix_celseq2", "RNAmix_sortseq")


def tasic2016() -> AnnData:
    """Neurons of the mouse visual cortex, 180 genes: markers and receptors :cite:p:`Tasic16,Hess20`.

    1525 cells x 180 genes: 101 markers of cell types and 80 receptors of transmitters, one gene being both. The values
    are **not integers**: RSEM estimates divided by size factors. Use them as they are with
    ``gene_likelihood="normal"`` after a log, round them for a count model (which then holds approximately), or
    binarise them.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`numpy.ndarray` (dtype ``float32``)
        Size-factor-normalised expression, ``(1525, 180)``.
    ``adata.obs``
        ``"cell_type"``, 15 subclasses; ``"neuron"``, GABA or glutamate.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and ``"values"``.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.tasic2016()  # doctest: +SKIP
    """
    values = np.loadtxt(fetch("tasic2016", "single_cell_mat.txt"), dtype=np.float32)
    # The matrix has no names: its rows are the selected genes in alphabetical order.
    genes = sorted(fetch("tasic2016", "selGenes.txt").read_text().split())
    columns = {
        "cell_type": fetch("tasic2016", "celltype.txt").read_text().split("\n"),
        "neuron": fetch("tasic2016", "gabagluta.txt").read_text().split("\n"),
    }
    n_cells = values.shape[1]
    obs = pd.DataFrame(
        {key: pd.Categorical([name.strip() for name in names if name.strip()]) for key, names in columns.items()},
        index=[f"cell{index}" for index in range(n_cells)],
    )
    adata = AnnData(np.ascontiguousarray(values.T), obs=obs, var=pd.DataFrame(index=genes))
    citation = "Tasic et al. 2016 Nature Neuroscience 19:335; Hess et al. 2020 Bioinformatics 36:5045"
    adata.uns[keys.DATASET] = note("tasic2016", citation, values="RSEM estimates divided by size factors, not integers")
    return adata


def zeisel2015_descend() -> AnnData:
    """Cells of the mouse cortex and hippocampus, the subset of DESCEND :cite:p:`Zeisel15`.

    1464 cells x 1000 genes, UMI counts, with 57 spike-ins of known number.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(1464, 1000)``.
    ``adata.obs``
        ``"cell_type"``, three types; ``"library_size"``, molecules over all genes of the cell; ``"cell_size"``,
        estimated from the spike-ins.
    ``adata.obsm['spike_ins']`` : :class:`numpy.ndarray`
        Counts of the spike-ins, ``(1464, 57)``.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and ``"spike_in_molecules"``, their true numbers.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.zeisel2015_descend()  # doctest: +SKIP
    """
    packed = read_r(fetch("zeisel2015_descend", "zeisel.rda"))["zeisel"]
    counts = packed["count.matrix.large"]
    cells = np.asarray(counts.coords["dim_1"]).astype(str)
    obs = pd.DataFrame(
        {
            "cell_type": categories(packed["labels"]),
            "library_size": np.asarray(packed["library.size"], dtype=float),
            "cell_size": np.asarray(packed["cell.size"], dtype=float),
        },
        index=cells,
    )
    var = pd.DataFrame(index=unique(np.asarray(counts.coords["dim_0"])))
    adata = AnnData(sparse.csr_matrix(np.asarray(counts).T, dtype=np.float32), obs=obs, var=var)
    adata.obsm["spike_ins"] = packed["ercc.matrix"].to_numpy().T.astype(np.float32)
    molecules = np.asarray(packed["trueMol"], dtype=float)
    adata.uns[keys.DATASET] = note(
        "zeisel2015_descend", "Zeisel et al. 2015 Science 347:1138", spike_in_molecules=molecules
    )
    return adata


def hemato_tusi2018(*, filtered: bool = True) -> AnnData:
    """Blood progenitors of the mouse bone marrow, four inDrop libraries :cite:p:`Tusi18`.

    6933 barcodes x 28,205 genes, UMI counts, of which the authors kept 4790. The source names the kept barcodes only
    by their total counts; in order, these fit in exactly one way. The barcodes found so are those with less than 15 %
    mitochondrial counts and totals above a threshold of each library (900, 700, 800 and 800), without exception.

    Parameters
    ----------
    filtered
        Whether to return the cells that the authors kept.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts.
    ``adata.obs['library']``
        One of four libraries.
    ``adata.obsm['X_spring']`` : :class:`numpy.ndarray`
        SPRING layout of the authors, ``(4790, 2)``; with ``filtered=True`` only.
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
    >>> adata = scgauge.datasets.hemato_tusi2018()  # doctest: +SKIP
    """
    raw = cached(
        "hemato_tusi2018", "barcodes.h5ad", _all_barcodes, lambda adata, path: adata.write_h5ad(path), read_h5ad
    )
    raw.uns[keys.DATASET] = note("hemato_tusi2018", "Tusi et al. 2018 Nature 555:54", filtered=filtered)
    if not filtered:
        return raw
    wanted = np.loadtxt(fetch("hemato_tusi2018", "hpc_full/total_counts.txt"))
    adata = raw[_align(np.asarray(raw.X.sum(1)).ravel(), wanted)].copy()
    layout = np.loadtxt(fetch("hemato_tusi2018", "hpc_full/coordinates.txt"), delimiter=",")
    adata.obsm["X_spring"] = layout[:, 1:]
    return adata


def _all_barcodes() -> AnnData:
    """Read the four tables of counts, row by row: they are wide, and nearly all zeros."""
    rows, names, libraries = [], [], []
    genes: list[str] = []
    for library in _LIBRARIES:
        with gzip.open(fetch("hemato_tusi2018", f"{library}.counts.tsv.gz")) as lines:
            genes = next(lines).decode().rstrip("\n").split("\t")[1:]
            for line in lines:
                barcode, _, values = line.rstrip(b"\n").partition(b"\t")
                rows.append(sparse.csr_matrix(_integers(values)))
                names.append(f"{library}_{barcode.decode()}")
                libraries.append(library)
    obs = pd.DataFrame({"library": pd.Categorical(libraries, categories=_LIBRARIES)}, index=unique(names))
    return AnnData(sparse.vstack(rows, format="csr"), obs=obs, var=pd.DataFrame(index=unique(genes)))


def _integers(line: bytes) -> np.ndarray:
    """Return the integers of a tab-separated line, a tenth of the time that general parsers need."""
    characters = np.frombuffer(line, dtype=np.uint8)
    is_tab = characters == ord("\t")
    ends = np.append(np.flatnonzero(is_tab), len(characters))
    field = np.cumsum(is_tab)[~is_tab]
    power = ends[field] - np.flatnonzero(~is_tab) - 1
    digits = characters[~is_tab] - ord("0")
    return np.bincount(field, weights=digits * 10.0**power, minlength=len(ends)).astype(np.float32)


def _align(totals: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the first cells whose totals are the wanted ones, in order."""
    kept: list[int] = []
    for position, total in enumerate(totals):
        if len(kept) < len(wanted) and total == wanted[len(kept)]:
            kept.append(position)
    if len(kept) != len(wanted):
        message = f"Found {len(kept)} of {len(wanted)} published cells among the barcodes."
        raise ValueError(message)
    return np.array(kept)


def sc_mixology(
    *, kind: Literal["sc_celseq2", "sc_dropseq", "RNAmix_celseq2", "RNAmix_sortseq"] = "sc_celseq2"
) -> AnnData:
    """Three cancer cell lines, single cells or RNA mixed in known proportions :cite:p:`Tian19`.

    Ground truth for methods: ``"sc_celseq2"`` and ``"sc_dropseq"`` hold single cells, ``"RNAmix_*"`` wells with known
    shares of the RNA of the lines.

    Parameters
    ----------
    kind
        Experiment and protocol.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        UMI counts; genes are named by their Ensembl identifier.
    ``adata.obs``
        The published annotation: ``"cell_line"`` (H1975, H2228, HCC827), ``"cell_line_demuxlet"`` and
        ``"demuxlet_cls"`` (SNG for one cell, DBL for two) for single cells; ``"mix"``,
        ``"H2228_prop"``, ``"H1975_prop"``, ``"HCC827_prop"`` and ``"mRNA_amount"`` for mixtures; quality measures.
    ``adata.uns['scgauge_dataset']`` : :class:`dict`
        Name, citation, licence, source and kind.

    Raises
    ------
    FileNotFoundError
        If a file is not at hand and cannot be downloaded.
    ValueError
        If a file is not the published one or `kind` has another value.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.sc_mixology(kind="sc_dropseq")  # doctest: +SKIP
    """
    if kind not in _MIXTURES:
        message = f"kind={kind!r} was given; choose from {list(_MIXTURES)}."
        raise ValueError(message)
    counts = pd.read_csv(fetch("sc_mixology", f"{kind}.count.csv.gz"), index_col=0)
    obs = pd.read_csv(fetch("sc_mixology", f"{kind}.metadata.csv.gz"), index_col=0).loc[counts.columns]
    for key in obs.columns:
        if obs[key].dtype == object or isinstance(obs[key].dtype, pd.StringDtype) or key == "outliers":
            obs[key] = obs[key].astype(str).astype("category")
    obs.index = obs.index.astype(str)
    x = sparse.csr_matrix(counts.to_numpy().T, dtype=np.float32)
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=unique(counts.index)))
    adata.uns[keys.DATASET] = note("sc_mixology", "Tian et al. 2019 Nature Methods 16:479", kind=kind)
    return adata


def baron_cider() -> AnnData:
    """Human and mouse pancreas on their common genes, the subset of CIDER :cite:p:`Baron16`.

    350 cells x 12,474 genes, UMI counts, 70 cells of each of five types.

    Returns
    -------
    Cells with

    ``adata.X`` : :class:`scipy.sparse.csr_matrix` (dtype ``float32``)
        Counts, ``(350, 12474)``.
    ``adata.obs``
        ``"cell_type"``, five types; ``"species"``, human or mouse; ``"sample"``, six donors.
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
    >>> adata = scgauge.datasets.baron_cider()  # doctest: +SKIP
    """
    packed = read_r(fetch("baron_cider", "pancreas.RData"))["pancreas"]
    counts, annotation = packed.assays["RNA"].counts, getattr(packed, "meta.data")
    annotation = annotation.set_axis(counts.columns)
    columns = {"cell_type": "Group", "species": "Batch", "sample": "Sample"}
    obs = pd.DataFrame(
        {key: categories(annotation[source]) for key, source in columns.items()},
        index=unique(counts.columns),
    )
    x = sparse.csr_matrix(counts.matrix.T, dtype=np.float32)
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=unique(counts.rows)))
    adata.uns[keys.DATASET] = note("baron_cider", "Baron et al. 2016 Cell Systems 3:346")
    return adata
