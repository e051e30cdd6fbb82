"""Names and labels of published tables, made fit for an AnnData."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from scgauge.datasets._registry import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

#: Words that mean a missing label.
_MISSING = frozenset({"NA", "nan", "None"})


def unique(names: Iterable[object]) -> pd.Index:
    """Return names as an index of text; repeated ones are numbered."""
    index = pd.Index([str(name) for name in names])
    return index if index.is_unique else make_index_unique(index)


def categories(labels: Iterable[object]) -> pd.Categorical:
    """Return labels as categories; words for "missing" become missing."""
    return pd.Categorical(
        [None if str(label) in _MISSING else str(label) for label in np.asarray(labels, dtype=object)]
    )


def read_old_h5ad(dataset: str, file: str) -> AnnData:
    """Read a published h5ad file that an old anndata has written."""
    path = fetch(dataset, file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was written (without encoding metadata|with a very old version)")
        warnings.filterwarnings("ignore", message=".*names are not unique", category=UserWarning)
        warnings.filterwarnings("ignore", message="Moving element from", category=FutureWarning)
        warnings.filterwarnings("ignore", message="The 'future.infer_string' option is deprecated")
        return anndata.read_h5ad(path)
