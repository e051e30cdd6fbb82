from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scgauge.nn._to_device import to_device


class SparseRows:
    """Minibatch of sparse cells: the non-zero entries in row order, with what is known of each row.

    Unlike a sparse tensor of torch it keeps the row of each entry and its place in the dense matrix, which the
    likelihoods need, and the sums over rows. (It is no dataclass: Lightning would take the lengths of its parts for the
    size of the minibatch.)

    Parameters
    ----------
    values
        Non-zero entries, ``(n_nonzero,)``.
    rows, columns
        Their places, ``(n_nonzero,)`` 32-bit integers, which are gathered faster than longer ones; rows ascend.
    offsets
        First entry of each row, and the number of entries, ``(n_rows + 1,)`` integers.
    n_columns
        Number of columns.
    totals
        Sum of each row, ``(n_rows,)``.
    """

    def __init__(
        self, *, values: Tensor, rows: Tensor, columns: Tensor, offsets: Tensor, n_columns: int, totals: Tensor
    ) -> None:
        self.values, self.rows, self.columns, self.offsets = values, rows, columns, offsets
        self.n_columns, self.totals = n_columns, totals

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseRows:
        """Take the non-zero entries of a matrix, ``(n_rows, n_columns)``."""
        rows, columns = x.nonzero(as_tuple=True)
        offsets = torch.zeros(len(x) + 1, dtype=torch.long, device=x.device)
        offsets[1:] = torch.bincount(rows, minlength=len(x)).cumsum(0)
        return cls(
            values=x[rows, columns],
            rows=rows.int(),
            columns=columns.int(),
            offsets=offsets,
            n_columns=x.shape[1],
            totals=x.sum(1),
        )

    @property
    def shape(self) -> torch.Size:
        """Number of rows and columns."""
        return torch.Size((len(self.totals), self.n_columns))

    @property
    def device(self) -> torch.device:
        """Where the entries are."""
        return self.values.device

    def __len__(self) -> int:
        return len(self.totals)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or one of its entries, as a tensor does."""
        return self.shape if dim is None else self.shape[dim]

    def to(self, device: torch.device | str) -> SparseRows:
        """Move to a device; called by Lightning and by scvi-tools where a tensor would be."""
        return self._with(lambda part: to_device(part, device))

    def map_values(self, function: Any) -> SparseRows:
        """Apply a function that leaves 0 at 0 to the entries; the sums over rows are not kept up."""
        return self._with(lambda part: function(part) if part is self.values else part)

    def _with(self, function: Any) -> SparseRows:
        parts = {name: function(getattr(self, name)) for name in ("values", "rows", "columns", "offsets", "totals")}
        return SparseRows(n_columns=self.n_columns, **parts)

    @cached_property
    def places(self) -> Tensor:
        """Return the place of each entry in the flattened dense matrix, ``(n_nonzero,)``."""
        fits = len(self) * self.n_columns < 2**31
        rows = self.rows if fits else self.rows.long()
        return rows * self.n_columns + self.columns

    def sum_rows(self, entries: Tensor) -> Tensor:
        """Sum numbers that belong to the entries over each row: ``(n_nonzero,)`` to ``(n_rows,)``."""
        return torch.segment_reduce(entries, "sum", offsets=self.offsets, unsafe=True, initial=0.0)

    def to_dense(self) -> Tensor:
        """Return the matrix, ``(n_rows, n_columns)``."""
        dense = self.values.new_zeros(len(self) * self.n_columns)
        return dense.index_add_(0, self.places, self.values).view(self.shape)
