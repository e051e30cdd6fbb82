"""Fit, check and explain deep generative models of single cells."""

from importlib.metadata import version

from . import datasets, metrics, model, pl, pp, tl

__all__ = ["datasets", "metrics", "model", "pl", "pp", "tl"]

__version__ = version("scgauge")
