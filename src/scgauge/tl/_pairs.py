"""Two sets of cells side by side: the same genes in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgauge._core.checks import check_unique_names

if TYPE_CHECKING:
    from anndata import AnnData


def check_same_genes(x: AnnData, y: AnnData, *, names: tuple[str, str] = ("real", "synthetic")) -> AnnData:
    """Return `y` with its genes in the order of those of `x`, itself where they are.

    Raises
    ------
    ValueError
        If gene names repeat, or one has genes that the other lacks.
    """
    check_unique_names(x)
    check_unique_names(y)
    missing = x.var_names.symmetric_difference(y.var_names)
    if len(missing):
        message = (
            f"`{names[0]}` and `{names[1]}` need the same genes; {len(missing)} are in one only, "
            f"for example {missing[0]!r}."
        )
        raise ValueError(message)
    return y if x.var_names.equals(y.var_names) else y[:, x.var_names]
