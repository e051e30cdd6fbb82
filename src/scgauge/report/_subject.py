"""The model and the cells that a page is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_obs_key

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge._core.model_protocol import Adapter


@dataclass(frozen=True)
class Subject:
    """A trained model, its cells, and how they are to be shown.

    Attributes
    ----------
    adata
        The cells as the user gave them, never written to.
    model
        The trained model.
    adapter
        How scgauge reads it.
    labels
        Label of each cell as text, or ``None``.
    bases
        Keys in ``adata.obsm`` of the embeddings to judge.
    seed
        Seed of everything that is random.
    n_cells
        Most cells for figures and for checks whose cost grows with the square of their number.
    progress
        Whether to show progress bars.
    """

    adata: AnnData
    model: Any
    adapter: Adapter
    labels: pd.Series | None
    bases: list[str]
    seed: int
    n_cells: int
    progress: bool

    @property
    def data(self) -> AnnData:
        """The cells that the model was set up with."""
        return self.adapter.model.adata

    @property
    def layer(self) -> str | None:
        """Layer that the model reads."""
        return self.model.registry_["setup_args"].get("layer")

    @property
    def counts(self) -> bool:
        """Whether the model is one of counts."""
        return self.adapter.likelihood in {"nb", "zinb", "poisson"}

    def unseen(self) -> np.ndarray:
        """Positions of the cells that the model was not trained on."""
        return np.setdiff1d(np.arange(self.data.n_obs), self.adapter.training_cells())

    def rows_shown(self) -> np.ndarray:
        """Positions of at most `n_cells` random cells, in order."""
        n_obs = self.data.n_obs
        if n_obs <= self.n_cells:
            return np.arange(n_obs)
        return np.sort(np.random.default_rng(self.seed).choice(n_obs, self.n_cells, replace=False))


def _bases(adata: AnnData, basis: str | list[str] | None) -> list[str]:
    """Embeddings to judge: those named, or all with two dimensions."""
    if basis is None:
        return [key for key, value in adata.obsm.items() if getattr(value, "shape", (0, 0))[1] == 2]
    names = [basis] if isinstance(basis, str) else list(basis)
    unknown = [name for name in names if name not in adata.obsm]
    if unknown:
        message = f"Did not find basis={unknown[0]!r} in adata.obsm; found {sorted(adata.obsm)}."
        raise KeyError(message)
    flat = [name for name in names if adata.obsm[name].shape[1] < 2]
    if flat:
        message = f"adata.obsm[{flat[0]!r}] has one dimension; an embedding with two is needed."
        raise ValueError(message)
    return names


def subject_of(
    adata: AnnData,
    model: Any,
    *,
    labels_key: str | None,
    basis: str | list[str] | None,
    seed: int,
    n_cells: int,
    progress: bool,
) -> Subject:
    """Check that model and cells belong together and that there is something to show.

    Raises
    ------
    TypeError
        If `adata` is not an AnnData, or scgauge cannot read the model.
    RuntimeError
        If the model is not trained or has no cells attached.
    KeyError
        If `labels_key` or `basis` does not exist.
    ValueError
        If the cells are not those of the model, or there are too few.
    """
    check_adata(adata)
    adapter = adapt(model)
    adapter.training_cells()  # raises for a model that is not trained
    data = adapter.model.adata
    if data.n_obs != adata.n_obs or not data.obs_names.equals(adata.obs_names):
        message = (
            f"`adata` has {adata.n_obs} cells and the data of the model {data.n_obs}; both need the same cells in the "
            "same order. Pass the AnnData that the model was set up with."
        )
        raise ValueError(message)
    labels = None
    if labels_key is not None:
        labels = check_obs_key(adata, labels_key, argument="labels_key").astype(str)
    return Subject(adata, model, adapter, labels, _bases(adata, basis), seed, n_cells, progress)
