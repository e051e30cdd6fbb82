"""Pages that show a model to its user."""

from ._cells import Cells, open_cells
from ._demo import run_demo, write_demo
from ._read import read
from ._write import write

__all__ = ["Cells", "open_cells", "read", "run_demo", "write", "write_demo"]
