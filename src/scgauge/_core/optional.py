"""Packages that only some functions need, or that load slowly: imported where they are used, never before."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def need(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module
        Name to import, for example ``"captum.attr"``.
    extra
        The extra of scgauge that installs it.
    purpose
        What the package is needed for, as it reads after "needed for".

    Raises
    ------
    ImportError
        If the package is not installed; the message has the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        message = f"{package!r} is not installed, and is needed for {purpose}. Run: pip install 'scgauge[{extra}]'"
        raise ImportError(message) from error


def later(module: str) -> ModuleType:
    """Import a required package at its first use, to keep it out of ``import scgauge``.

    Parameters
    ----------
    module
        Name to import, for example ``"scanpy"``.
    """
    return importlib.import_module(module)
