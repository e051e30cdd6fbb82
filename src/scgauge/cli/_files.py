"""Cells and models from disk, and results back to it."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import anndata as ad
import scvi
import typer
from scvi.model.base import BaseModelClass

from scgauge._core.pickled_names import foreign_names
from scgauge._core.whole_files import finished_file
from scgauge.report._quiet import quiet


def model_class(name: str) -> Any:
    """Find a model class of scgauge or of scvi-tools by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    own_models = import_module("scgauge.model")
    for place in (own_models, scvi.model):
        if name in getattr(place, "__all__", dir(place)) and hasattr(place, name):
            return getattr(place, name)
    message = f"Found no model class {name!r} in scgauge.model or scvi.model; scgauge has {sorted(own_models.__all__)}."
    raise ValueError(message)


def load_model(folder: Path, cells: ad.AnnData) -> Any:
    """Load a saved model of any class, with its cells.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ValueError
        If the file is damaged or would run what no model holds, or the cells lack genes of the model.
    """
    path = folder / "model.pt"
    if not path.is_file():
        message = f"Found no model in {str(folder)!r}; name a folder that `scgauge train` or model.save() wrote."
        raise FileNotFoundError(message)
    if foreign := foreign_names(path):
        message = (
            f"{str(path)!r} names {', '.join(sorted(foreign)[:5])}, which could run anything, and was not read. If you "
            "trust who wrote it, load it in Python with the `load` of its class."
        )
        raise ValueError(message)
    with quiet():
        registry = BaseModelClass.load_registry(str(folder))
        genes = registry["field_registries"]["X"]["state_registry"]["column_names"]
        missing = [gene for gene in genes if gene not in cells.var_names]
        if missing:
            message = (
                f"The cells lack {len(missing)} of the {len(genes)} genes of the model, for example {missing[0]!r}."
            )
            raise ValueError(message)
        if list(cells.var_names) != list(genes):
            cells = cells[:, list(genes)].copy()
        return model_class(registry["model_name"]).load(str(folder), cells)


def write_cells(cells: ad.AnnData, path: Path) -> None:
    """Write an h5ad file whole or not at all."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        message = f"Cannot write {str(path)!r}: name a file in a folder that exists."
        raise OSError(message)
    with finished_file(path) as unfinished:
        cells.write_h5ad(unfinished)


def say(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for people, or as JSON for scripts."""
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    width = max(len(name) for name in result)
    for name, value in result.items():
        typer.echo(f"{name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else value}")
