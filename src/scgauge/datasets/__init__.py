"""Public single-cell data sets and simulators with known truth."""

from ._pbmc68k_counts import pbmc68k_counts
from ._simulate_binary_blocks import simulate_binary_blocks
from ._simulate_counts import simulate_counts

__all__ = ["pbmc68k_counts", "simulate_binary_blocks", "simulate_counts"]
