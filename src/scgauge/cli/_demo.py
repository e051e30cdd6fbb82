from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.report import open_cells, write_demo


class Likelihood(StrEnum):
    """Likelihoods of counts."""

    nb = "nb"
    zinb = "zinb"
    poisson = "poisson"


def demo(  # noqa: PLR0913 - ten without the seed
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.h5ad", help="Your cells, with counts.", show_default="700 blood cells")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="KEY", help="Column of obs with cell types or clusters, to colour the cells.")
    ] = None,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Layer with the counts.", show_default="X")] = None,
    batch: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs with the batch.")] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write.")] = Path("scgauge-demo"),
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="At most so many epochs.", show_default="300, fewer for many cells")
    ] = None,
    n_latent: Annotated[int, typer.Option(min=1, help="Dimension of the latent space.")] = 10,
    likelihood: Annotated[Likelihood, typer.Option(help="Likelihood of the counts.")] = Likelihood.nb,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything that is random.")] = 0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Also check and explain the model.")] = True,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Train a model on real cells, draw synthetic ones, and write a page that compares them.

    Without options it takes 700 blood cells that come with scanpy, two to three minutes, and no network.
    """
    with one_line(*FAULTS_OF_INPUT):
        cells = open_cells(data, layer=layer, labels_key=labels, batch_key=batch)
    with one_line(OSError, FloatingPointError):
        page = write_demo(
            cells,
            out=out,
            max_epochs=max_epochs,
            n_latent=n_latent,
            gene_likelihood=likelihood.value,
            seed=seed,
            report=report,
        )
    typer.echo(f"Open {page.resolve()}")
    if open_page:
        typer.launch(page.resolve().as_uri())
