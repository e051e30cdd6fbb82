"""How a command fails: one line on the error stream and exit code 1, no traceback."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

#: What bad input raises. Anything else is a fault of ours, and shows as one.
FAULTS_OF_INPUT = (TypeError, KeyError, ValueError, OSError, RuntimeError)


@contextmanager
def one_line(*errors: type[Exception]) -> Iterator[None]:
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
