"""R files as Python objects, through the rdata package."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from scgauge._core.optional import later

if TYPE_CHECKING:
    from pathlib import Path


class NamedMatrix(NamedTuple):
    """A sparse matrix of R with its row and column names."""

    matrix: sparse.csc_matrix
    rows: np.ndarray
    columns: np.ndarray


def _sparse(_: Any, attributes: dict[str, Any]) -> NamedMatrix:
    matrix = sparse.csc_matrix((attributes["x"], attributes["i"], attributes["p"]), shape=tuple(attributes["Dim"]))
    names = attributes.get("Dimnames") or [None, None]
    defaults = ([f"{index}" for index in range(length)] for length in matrix.shape)
    rows, columns = (
        np.asarray(default if name is None else name, dtype=str) for name, default in zip(names, defaults, strict=True)
    )
    return NamedMatrix(matrix, rows, columns)


def _data_frame(_: Any, attributes: dict[str, Any]) -> pd.DataFrame:
    columns = {str(name): np.asarray(values) for name, values in attributes["listData"].items()}
    return pd.DataFrame(columns, index=attributes.get("rownames"))


def read_r(path: Path) -> Any:
    """Return the content of an .rds, .rda or .RData file; sparse matrices as `NamedMatrix`, DFrame as data frame."""
    rdata = later("rdata")
    base: Any = rdata.conversion.SimpleConverter

    class Converter(base):
        """Converter that decodes each text once; tables repeat a few names many times."""

        def _convert_next(self, data: Any) -> Any:
            if isinstance(data, rdata.parser.RData) or data.info.type is not rdata.parser.RObjectType.CHAR:
                return super()._convert_next(data)
            key = data.value, data.info.gp
            if key not in texts:
                texts[key] = super()._convert_next(data)
            return texts[key]

    texts: dict[tuple[bytes | None, int], Any] = {}
    constructors = {
        **rdata.conversion.DEFAULT_CLASS_MAP,
        "dgCMatrix": _sparse,
        "DFrame": _data_frame,
        "DataFrame": _data_frame,
    }
    with warnings.catch_warnings():
        # Classes around the tables that are read are kept as plain records.
        warnings.filterwarnings("ignore", message="Missing constructor for R class", module="rdata")
        return Converter(constructors).convert(rdata.parser.parse_file(path))
