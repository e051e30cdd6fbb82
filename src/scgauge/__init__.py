"""Fit, check and explain deep generative models of single cells."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from . import datasets, metrics, model, pl, pp, tl

__all__ = ["datasets", "metrics", "model", "pl", "pp", "report", "tl"]

__version__ = version("scgauge")


def __getattr__(name: str) -> Any:
    # Pages need jinja2, which nothing else does: loaded when asked for.
    if name == "report":
        return import_module(".report", __name__)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
