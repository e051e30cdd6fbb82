from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from anndata import AnnData

from scgauge._core.checksums import damaged_part
from scgauge._core.whole_files import finished_together
from scgauge.model._query import check_genes


class SavedModel:
    """Saving in one step, and loading that looks at the file and at the genes first."""

    def save(self, dir_path: str | Path, prefix: str | None = None, overwrite: bool = False, **kwargs: Any) -> None:
        """Save the model in a folder, whole or not at all.

        The files are written beside the folder and then moved into it: a full disk or an interruption leaves what was
        there before.

        Parameters
        ----------
        dir_path
            Folder.
        prefix
            What the names of the files begin with.
        overwrite
            Whether files in a folder that exists may be replaced.
        **kwargs
            Passed to :meth:`scvi.model.base.BaseModelClass.save`: ``save_anndata``, ...

        Raises
        ------
        ValueError
            If the folder exists and `overwrite` is ``False``.
        """
        target = Path(dir_path)
        if target.exists() and not overwrite:
            message = f"{target} exists already. Choose another folder, or pass overwrite=True."
            raise ValueError(message)
        # Beside the folder, which is there only once it has a model; cells before weights, without which scvi-tools
        # reads neither.
        beside = target.with_name(f".unfinished-{target.name}")
        with finished_together(target, last=f"{prefix or ''}model.pt", place=beside) as folder:
            super().save(str(folder), prefix, overwrite=True, **kwargs)  # type: ignore[misc]

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | None = None, *args: Any, **kwargs: Any) -> Any:
        """Load a model that was saved, after a look at the file and at the genes.

        The file is one of scvi-tools and holds Python objects: load only what you trust.

        Parameters
        ----------
        dir_path
            Folder.
        adata
            Cells with the genes of the model in its order; those saved with the model if ``None``.
        *args, **kwargs
            Passed to :meth:`scvi.model.base.BaseModelClass.load`: ``accelerator``, ``device``, ``prefix``, ...

        Returns
        -------
        The model.

        Raises
        ------
        ValueError
            If the folder has no saved model, the file is damaged, or genes of the model are missing, others are there,
            or the order differs; the message names them.
        """
        prefix = args[2] if len(args) > 2 else kwargs.get("prefix")
        path = Path(dir_path) / f"{prefix or ''}model.pt"
        if path.exists():
            genes = _genes_of(path)
            if isinstance(adata, AnnData) and genes is not None:
                check_genes(adata, genes, model=cls.__name__ if hasattr(cls, "prepare_query_anndata") else None)
        return super().load(str(dir_path), adata, *args, **kwargs)  # type: ignore[misc]


def _genes_of(path: Path) -> Any:
    """Names of the genes of a saved model, whose bytes are those that were written; weights stay on the disk."""
    part = damaged_part(path)
    if part is not None:
        message = f"{path} is damaged: the checksum of its part {part!r} is not that of its bytes. Save it again."
        raise ValueError(message)
    try:
        # The file is one of scvi-tools, which pickles attributes of the model.
        saved = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
        return saved["var_names"]
    except Exception as error:  # bytes of any kind raise errors of any kind
        message = f"{path} is damaged or no saved model ({type(error).__name__}: {str(error)[:80]}). Save it again."
        raise ValueError(message) from error
