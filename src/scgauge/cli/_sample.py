from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import load_model, say, write_cells
from scgauge.report._cells import read_file
from scgauge.report._quiet import quiet
from scgauge.tl import sample as draw_cells


class Source(StrEnum):
    """Where latent points come from."""

    prior = "prior"
    posterior = "posterior"
    aggregate = "aggregate"


def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder with a saved model.")],
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5ad", help="The cells that it was trained on.")],
    *,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Number of cells.", show_default="as many")] = None,
    source: Annotated[Source, typer.Option(help="Where latent points come from.")] = Source.prior,
    out: Annotated[Path, typer.Option(metavar="FILE.h5ad", help="Where to write.")] = Path("synthetic.h5ad"),
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw synthetic cells from a saved model.

    Example: scgauge sample model cells.h5ad --n 5000 --out synthetic.h5ad
    """
    with one_line(*FAULTS_OF_INPUT), quiet():
        loaded = load_model(model, read_file(cells))
        drawn = draw_cells(loaded, n, source=source.value, rng=seed, progress=not as_json)
        write_cells(drawn, out)
    say({"cells": drawn.n_obs, "genes": drawn.n_vars, "file": str(out)}, as_json=as_json)
