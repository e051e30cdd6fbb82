from importlib.metadata import version
from typing import Annotated

import typer

from scgauge.cli._check import check
from scgauge.cli._demo import demo
from scgauge.cli._embed import embed
from scgauge.cli._explain import explain
from scgauge.cli._report import report
from scgauge.cli._sample import sample
from scgauge.cli._train import train

app = typer.Typer(
    name="scgauge",
    help="Fit, check and explain deep generative models of single cells.",
    no_args_is_help=True,
    add_completion=False,
    # A fault of ours shows as Python shows it, without the contents of every variable.
    pretty_exceptions_enable=False,
)
for command in (demo, train, sample, check, embed, explain, report):
    app.command()(command)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the form of a callback
    if wanted:
        typer.echo(f"scgauge {version('scgauge')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Fit, check and explain deep generative models of single cells."""
