import json
from pathlib import Path
from typing import Annotated

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import load_model
from scgauge.report import write
from scgauge.report._cells import read_file
from scgauge.report._read import read_rows


def report(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder with a saved model.")],
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5ad", help="The cells that it was trained on.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="Where to write.")] = Path("report.html"),
    labels: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs that colours the cells.")] = None,
    basis: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Picture in obsm to judge.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdicts and their numbers as JSON.")] = False,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Check and explain a saved model, and write what was found as one page.

    Example: scgauge report model cells.h5ad --labels cell_type
    """
    with one_line(*FAULTS_OF_INPUT):
        adata = read_file(cells)
        fitted = load_model(model, adata)
        page = write(adata, fitted, out, labels_key=labels, basis=basis or None, seed=seed, progress=not as_json)
    rows = read_rows(page)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        width = max(len(row["answer"]) for row in rows)
        for row in rows:
            typer.echo(f"{row['answer']:<{width}}  {row['question']}")
        typer.echo(f"Open {page.resolve()}")
    if open_page:
        typer.launch(page.resolve().as_uri())
