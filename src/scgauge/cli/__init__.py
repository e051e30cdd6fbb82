"""Command line of scgauge."""

from ._app import app

__all__ = ["app"]
