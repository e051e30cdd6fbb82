"""Checks of tables that functions of `tl` return and figures are drawn from."""

from __future__ import annotations

import pandas as pd


def check_table(table: object, columns: set[str], made_by: str) -> None:
    """Raise TypeError unless `table` is a data frame with the columns of a result, ValueError if it has no row."""
    if not isinstance(table, pd.DataFrame) or not columns <= set(table.columns):
        message = f"`table` is no result of scgauge.tl.{made_by}; a data frame with {sorted(columns)} is needed."
        raise TypeError(message)
    if table.empty:
        message = f"`table` has no row; there is nothing of scgauge.tl.{made_by} to draw."
        raise ValueError(message)


def check_names(table: pd.DataFrame, *columns: str) -> None:
    """Raise TypeError unless some columns hold text in every row."""
    for column in columns:
        others = [value for value in table[column].unique() if not isinstance(value, str)]
        if others:
            message = f"`table` has {others[0]!r} in the column {column!r}, which holds names; text is needed."
            raise TypeError(message)
