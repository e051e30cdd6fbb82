from pathlib import Path
from typing import Annotated

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import load_model, say, write_cells
from scgauge.report._cells import read_file
from scgauge.report._quiet import quiet
from scgauge.tl import attribute


def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder with a saved model.")],
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5ad", help="The cells to explain.")],
    *,
    groupby: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs; means by group, too.")] = None,
    n_genes: Annotated[int, typer.Option(min=1, max=50, help="Genes to print for each latent dimension.")] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.h5ad", help="Write cells with attributions in varm here.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Name the genes that drive each latent dimension of a saved model.

    Example: scgauge explain model cells.h5ad --out explained.h5ad
    """
    with one_line(*FAULTS_OF_INPUT), quiet():
        adata = read_file(cells)
        loaded = load_model(model, adata)
        explained = read_file(cells)
        attribute(explained, loaded, groupby=groupby, rng=seed, progress=not as_json)
        if out is not None:
            write_cells(explained, out)
    genes = explained.uns["ig"]["top_genes"]
    named = {
        str(target): table["gene"].astype(str).tolist()[:n_genes]
        for target, table in genes.groupby("target", sort=False)
    }
    say(named if as_json else {name: ", ".join(some) for name, some in named.items()}, as_json=as_json)
