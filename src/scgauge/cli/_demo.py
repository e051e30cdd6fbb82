import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scgauge.report import open_cells, write_demo

#: What bad input raises. Anything else is a fault of ours, and shows as one.
_FAULTS_OF_INPUT = (TypeError, KeyError, ValueError, OSError)


class Likelihood(StrEnum):
    """Likelihoods of counts."""

    nb = "nb"
    zinb = "zinb"
    poisson = "poisson"


@contextmanager
def _one_line(*errors: type[Exception]) -> Iterator[None]:
    """End the command with one line, and not with a traceback, on one of these errors; warnings get a line too."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        typer.echo(f"Warning: {' '.join(str(message).split())}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except errors as error:
            # A KeyError puts quotes around its message.
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"Error: {' '.join(str(message).split())}", err=True)
            raise typer.Exit(code=1) from error


def demo(
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
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Train a model on real cells, draw synthetic ones, and write a page that compares them.

    Without options it takes 700 blood cells that come with scanpy, about a minute, and no network.
    """
    with _one_line(*_FAULTS_OF_INPUT):
        cells = open_cells(data, layer=layer, labels_key=labels, batch_key=batch)
    with _one_line(OSError, FloatingPointError):
        page = write_demo(
            cells,
            out=out,
            max_epochs=max_epochs,
            n_latent=n_latent,
            gene_likelihood=likelihood.value,
            seed=seed,
        )
    typer.echo(f"Open {page.resolve()}")
    if open_page:
        typer.launch(page.resolve().as_uri())
