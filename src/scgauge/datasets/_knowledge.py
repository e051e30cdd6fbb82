from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from scgauge._core import keys
from scgauge.datasets._cache import cached
from scgauge.datasets._r_files import read_r
from scgauge.datasets._registry import fetch, note

_GENE_SETS = {
    "hallmark": "h.all.v7.0.symbols.gmt",
    "kegg": "c2.cp.kegg.v7.5.1.symbols.gmt",
    "reactome": "c2.cp.reactome.v7.5.1.symbols.gmt",
    "panglaodb": "PanglaoDB_markers_27_Mar_2020.gmt",
}
_NETWORKS = {"human": "dorothea_hs", "mouse": "dorothea_mm"}


def gene_sets(name: Literal["hallmark", "kegg", "reactome", "panglaodb"] = "hallmark") -> dict[str, list[str]]:
    """Return sets of human genes: hallmarks, pathways or markers of cell types :cite:p:`Liberzon15,Franzen19`.

    Parameters
    ----------
    name
        ``"hallmark"`` (MSigDB v7.0, 50 sets), ``"kegg"`` and ``"reactome"`` (MSigDB v7.5.1) or ``"panglaodb"``
        (markers of cell types, 27 March 2020).

    Returns
    -------
    Gene symbols of each set, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one or `name` has another value.

    Examples
    --------
    >>> import scgauge
    >>> sets = scgauge.datasets.gene_sets("hallmark")  # doctest: +SKIP
    """
    if name not in _GENE_SETS:
        message = f"name={name!r} was given; choose from {list(_GENE_SETS)}."
        raise ValueError(message)
    sets = {}
    for line in fetch("genesets", _GENE_SETS[name]).read_text().splitlines():
        title, _, *genes = line.rstrip().split("\t")
        sets[title] = [gene for gene in genes if gene]
    return sets


def dorothea(organism: Literal["human", "mouse"] = "human") -> pd.DataFrame:
    """Targets of transcription factors, DoRothEA :cite:p:`GarciaAlonso19`.

    Parameters
    ----------
    organism
        Whose genes.

    Returns
    -------
    One row an edge: ``"tf"``, ``"confidence"`` (A, best, to E), ``"target"`` and ``"mor"``, 1 for activation and -1
    for repression.

    Raises
    ------
    FileNotFoundError
        If the file is not at hand and cannot be downloaded.
    ValueError
        If the file is not the published one or `organism` has another value.

    Examples
    --------
    >>> import scgauge
    >>> edges = scgauge.datasets.dorothea("human")  # doctest: +SKIP
    """
    if organism not in _NETWORKS:
        message = f"organism={organism!r} was given; choose from {list(_NETWORKS)}."
        raise ValueError(message)
    name = _NETWORKS[organism]
    return cached(
        "networks",
        f"{name}.csv.gz",
        lambda: _edges(name),
        lambda edges, path: edges.to_csv(path, index=False),
        pd.read_csv,
    )


def _edges(name: str) -> pd.DataFrame:
    edges = read_r(fetch("networks", f"{name}.rda"))[name]
    columns = {str(key): edges[key].to_numpy() for key in edges.columns}
    text = {key: columns[key].astype(str) for key in ("tf", "confidence", "target")}
    return pd.DataFrame(text | {"mor": columns["mor"].astype(float)})


def clinical_dummy_smartcare() -> AnnData:
    """Visits of 499 simulated patients with two motor tests, like a registry of spinal muscular atrophy.

    3782 visits x 70 items of two measuring instruments. The numbers are artificial; their structure, with irregular
    visits, two instruments of which a visit may have either, and 40 baseline variables, is that of a registry.

    Returns
    -------
    Visits with

    ``adata.X`` : :class:`numpy.ndarray` (dtype ``float32``)
        Item scores, ``(3782, 70)``; NaN where an instrument was not taken.
    ``adata.obs``
        ``"subject"`` and ``"time"``, from 0 to 10 in the unit of the source; not every subject starts at 0.
    ``adata.var['instrument']``
        ``"test1"`` (40 items) or ``"test2"`` (30 items).
    ``adata.obsm['baseline']`` : :class:`pandas.DataFrame`
        Baseline variables ``"x1"`` to ``"x40"`` of the subject, ``(3782, 40)``.
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
    >>> visits = scgauge.datasets.clinical_dummy_smartcare()  # doctest: +SKIP
    """
    visits = pd.read_csv(fetch("clinical_dummy_smartcare", "dummy_timedepend_df.csv"))
    baseline = pd.read_csv(fetch("clinical_dummy_smartcare", "dummy_baseline_df.csv")).set_index("id")
    items = [name for name in visits.columns if "_item" in name]
    names = [f"visit_{index}" for index in range(len(visits))]
    obs = pd.DataFrame(
        {"subject": pd.Categorical(visits["id"].astype(str)), "time": visits["tvals"].astype(float)}
    ).set_index(pd.Index(names))
    var = pd.DataFrame({"instrument": pd.Categorical([name.partition("_")[0] for name in items])}, index=items)
    adata = AnnData(visits[items].to_numpy(dtype=np.float32), obs=obs, var=var)
    adata.obsm["baseline"] = baseline.loc[visits["id"]].set_index(adata.obs_names).astype(float)
    citation = "Hackenberg et al. 2023 arXiv:2312.00616 (artificial data)"
    adata.uns[keys.DATASET] = note("clinical_dummy_smartcare", citation, time_unit="unit of the source (artificial)")
    return adata
