from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from scgauge._core.optional import need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Fewest genes of a set that must be in the model.
_FEWEST_GENES = 5


def enrichment(loadings: pd.DataFrame, gene_sets: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Test which gene sets each factor is about, with decoupler's univariate linear model.

    Parameters
    ----------
    loadings
        Loadings, ``(n_genes, n_factors)``, with names.
    gene_sets
        Genes of each set.

    Returns
    -------
    Table with the columns ``factor``, ``gene_set``, ``n_genes``, ``score``, ``padj``, highest score first.
    """
    genes = set(loadings.index)
    for name, members in gene_sets.items():
        if isinstance(members, str) or not isinstance(members, Iterable):
            message = f"The gene set {name!r} is {type(members).__name__}; a list of names of genes is needed."
            raise TypeError(message)
    found = {str(name): sorted(genes.intersection(map(str, members))) for name, members in gene_sets.items()}
    found = {name: members for name, members in found.items() if len(members) >= _FEWEST_GENES}
    if not found:
        message = (
            f"None of the {len(gene_sets)} gene sets has {_FEWEST_GENES} genes in the model; its genes have names like "
            f"{loadings.index[0]!r}."
        )
        raise ValueError(message)
    decoupler = need("decoupler", extra="enrich", purpose="the enrichment of gene sets in factors")
    net = pd.DataFrame(
        [(name, gene) for name, members in found.items() for gene in members], columns=["source", "target"]
    )
    scores, adjusted = decoupler.mt.ulm(loadings.T, net, tmin=_FEWEST_GENES)
    table = scores.rename_axis("factor").reset_index().melt("factor", var_name="gene_set", value_name="score")
    padj = adjusted.rename_axis("factor").reset_index().melt("factor", var_name="gene_set", value_name="padj")
    table = table.merge(padj, on=["factor", "gene_set"])
    table["n_genes"] = table["gene_set"].map({name: len(members) for name, members in found.items()})
    table["factor"] = pd.Categorical(table["factor"], categories=loadings.columns)
    table = table.sort_values(["factor", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    return table.assign(factor=table["factor"].astype(str))[["factor", "gene_set", "n_genes", "score", "padj"]]
