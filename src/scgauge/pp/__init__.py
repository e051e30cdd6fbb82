"""Preparation of counts."""

from scgauge._core.arguments import check_arguments as _check_arguments

from ._binarize import binarize
from ._gene_embedding import gene_embedding
from ._gene_set_mask import gene_set_mask
from ._hvg_counts import hvg_counts
from ._length_normalise import rpkm, tpm
from ._recover_counts import recover_counts
from ._split import split

__all__ = [
    "binarize",
    "gene_embedding",
    "gene_set_mask",
    "hvg_counts",
    "recover_counts",
    "rpkm",
    "split",
    "tpm",
]

_check_arguments(__name__)
