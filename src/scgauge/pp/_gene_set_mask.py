from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import GENE_SETS
from scgauge._core.store import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData


def gene_set_mask(
    adata: AnnData,
    *,
    gene_sets: Mapping[str, Sequence[str]] | str | Path,
    min_genes: int = 5,
    max_genes: int | None = None,
    key_added: str = GENE_SETS,
    copy: bool = False,
) -> AnnData | None:
    """Mark which genes belong to which gene set, as the mask of a :class:`~scgauge.model.LinearVI`.

    Parameters
    ----------
    adata
        Annotated data matrix whose ``var_names`` are the symbols that the sets use.
    gene_sets
        Genes of each set by its name (:func:`scgauge.datasets.gene_sets`), or the path of a GMT file, in which each
        line has a name, a description and genes, separated by tabs.
    min_genes
        Fewest genes of a set that are in the data; smaller sets are left out.
    max_genes
        Most genes of a set that are in the data; larger sets are left out. No limit if ``None``.
    key_added
        Key under which the mask is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varm[key_added]`` : :class:`pandas.DataFrame` (dtype ``bool``)
        Genes of each set, ``(n_vars, n_sets)``.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments, and ``"sets"``, a data frame with the columns ``gene_set``, ``n_genes`` (of the
        set), ``n_found`` (of them in the data) and ``kept``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or a set is no list.
    FileNotFoundError
        If there is no such file.
    ValueError
        If gene names repeat, a limit is out of range, the file is no GMT file or no set is left.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scgauge
    >>> adata = ad.AnnData(np.ones((2, 3), dtype="float32"), var=pd.DataFrame(index=["CD3E", "CD79A", "MS4A1"]))
    >>> scgauge.pp.gene_set_mask(adata, gene_sets={"B cells": ["CD79A", "MS4A1", "CD19"]}, min_genes=2)
    >>> adata.varm["gene_sets"]["B cells"].tolist()
    [False, True, True]
    """
    check_adata(adata)
    check_unique_names(adata)
    if min_genes < 1 or (max_genes is not None and max_genes < min_genes):
        message = f"min_genes={min_genes} and max_genes={max_genes} were given; 1 <= min_genes <= max_genes is needed."
        raise ValueError(message)
    sets = read_gmt(gene_sets) if isinstance(gene_sets, str | Path) else gene_sets
    genes = adata.var_names.astype(str)
    columns, rows = {}, []
    for name, members in sets.items():
        if isinstance(members, str) or not isinstance(members, Iterable):
            message = f"The gene set {name!r} is {type(members).__name__}; a list of names of genes is needed."
            raise TypeError(message)
        inside = np.asarray(genes.isin([str(gene) for gene in members]))
        n_found = int(inside.sum())
        kept = n_found >= min_genes and (max_genes is None or n_found <= max_genes)
        rows.append((str(name), len(set(members)), n_found, kept))
        if kept:
            # Names of columns become keys in files, in which '/' has another meaning.
            columns[str(name).replace("/", "|")] = inside
    table = pd.DataFrame(rows, columns=["gene_set", "n_genes", "n_found", "kept"])
    if not columns:
        most = int(table["n_found"].max()) if len(table) else 0
        message = (
            f"None of the {len(table)} gene sets has between {min_genes} and {max_genes or 'any number of'} genes in "
            f"the data; the most found is {most}. Check that adata.var_names ({genes[0]!r}, ...) are the symbols that "
            "the sets use."
        )
        raise ValueError(message)
    params = {
        "gene_sets": str(gene_sets) if isinstance(gene_sets, str | Path) else "given",
        "min_genes": min_genes,
        "max_genes": max_genes,
    }
    mask = pd.DataFrame(columns, index=adata.var_names)
    return store(adata, copy=copy, varm={key_added: mask}, uns={key_added: {"params": params, "sets": table}})


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Return the genes of each set of a GMT file."""
    path, sets = Path(path), {}
    if not path.is_file():
        message = f"Found no file {str(path)!r}; name a GMT file, or pass the genes of each set by its name."
        raise FileNotFoundError(message)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        message = f"{str(path)!r} is no text; a GMT file has a name, a description and genes in each line."
        raise ValueError(message) from error
    for number, line in enumerate(lines, start=1):
        parts = line.rstrip().split("\t")
        if not line.strip():
            continue
        if len(parts) < 3:
            message = (
                f"Line {number} of {path} has {len(parts)} fields; a GMT file has a name, a description and genes."
            )
            raise ValueError(message)
        sets[parts[0]] = [gene for gene in parts[2:] if gene]
    return sets
