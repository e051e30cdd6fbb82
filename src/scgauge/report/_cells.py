from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from scgauge._core.checks import check_adata, check_counts, check_obs_key, check_unique_names
from scgauge._core.matrix import Matrix, as_rows, get_matrix
from scgauge._core.optional import later
from scgauge._core.sampling import stratified_rows
from scgauge.datasets import pbmc68k_counts
from scgauge.report._quiet import quiet

#: Where the cells come from if none are given, in Python, and their labels.
BUILT_IN, BUILT_IN_LABELS = "scgauge.datasets.pbmc68k_counts()", "cell_type"
#: With fewer cells a tenth of them, held out, says nothing.
FEWEST_CELLS = 20
#: With more labels a legend cannot be read.
MOST_LABELS = 60
#: Name of cells whose label is missing.
UNLABELLED = "not labelled"


@dataclass(frozen=True)
class Cells:
    """Cells that have passed the checks of :func:`open_cells`.

    Attributes
    ----------
    adata
        The cells as they were given.
    source
        Name of their file, the call that returns them, or ``None`` if they came from memory.
    counts
        Matrix of counts, ``(n_obs, n_vars)``.
    layer, batch_key, labels_key
        Where counts, batches and labels stand in `adata`.
    labels
        Label of each cell as text, or ``None``.
    """

    adata: AnnData
    source: str | None
    counts: Matrix
    layer: str | None
    batch_key: str | None
    labels_key: str | None
    labels: pd.Series | None

    def for_model(self) -> AnnData:
        """Return an AnnData for scvi-tools to write its notes into: counts in ``X``, batches, names, nothing else."""
        columns = [] if self.batch_key is None else [self.batch_key]
        return AnnData(X=self.counts, obs=self.adata.obs[columns].copy(), var=self.adata.var[[]].copy())


def read_file(path: Path) -> AnnData:
    """Read an h5ad file into memory."""
    if not path.is_file():
        message = f"Found no file {str(path)!r}; name an .h5ad file."
        raise FileNotFoundError(message)
    advice = "an .h5ad file is needed. In Python, adata.write_h5ad('cells.h5ad') writes one."
    h5py = later("h5py")
    if not h5py.is_hdf5(path):
        message = f"{str(path)!r} is not an HDF5 file; {advice}"
        raise ValueError(message)
    with h5py.File(path) as file:
        found = sorted(file)
    if not {"obs", "var"} <= set(found):
        message = f"{str(path)!r} holds {found[:5]} and not the cells of an AnnData; {advice}"
        raise ValueError(message)
    with quiet():
        return read_h5ad(path)


def _load(data: AnnData | str | Path | None) -> tuple[str | None, AnnData]:
    """Return the cells and the name of their source."""
    if data is None:
        with quiet():
            return BUILT_IN, pbmc68k_counts()
    if isinstance(data, str | Path):
        return Path(data).name, read_file(Path(data))
    return None, data


def open_cells(
    data: AnnData | str | Path | None = None,
    *,
    layer: str | None = None,
    labels_key: str | None = None,
    batch_key: str | None = None,
) -> Cells:
    """Read cells and check that a model of counts can be trained on them and shown.

    Parameters
    ----------
    data
        Cells, or the h5ad file that holds them. If ``None``, :func:`~scgauge.datasets.pbmc68k_counts`, 700 blood cells
        that come with scanpy.
    layer
        Layer with the counts, ``adata.X`` if ``None``.
    labels_key
        Column of ``adata.obs`` with labels that colour the cells; ``"cell_type"`` for the blood cells. A cell without
        one is called "not labelled".
    batch_key
        Column of ``adata.obs`` with the batch.

    Returns
    -------
    The cells with their counts and labels.

    Raises
    ------
    TypeError
        If `data` is not an AnnData, a path or ``None``.
    FileNotFoundError
        If there is no such file.
    KeyError
        If the layer or a column does not exist.
    ValueError
        If the file is not an h5ad file, there are too few cells or too many labels, batches are missing, or there are
        no counts; the message names layers that do hold counts.

    Examples
    --------
    >>> from scgauge.report import open_cells
    >>> open_cells().labels.nunique()
    10
    """
    source, adata = _load(data)
    if source == BUILT_IN and labels_key is None:
        labels_key = BUILT_IN_LABELS
    check_adata(adata, name="data")
    check_unique_names(adata)
    if adata.n_obs < FEWEST_CELLS:
        message = f"Found {adata.n_obs} cells; at least {FEWEST_CELLS} are needed to train and to hold some out."
        raise ValueError(message)
    labels = None if labels_key is None else _labels(adata, labels_key)
    if batch_key is not None:
        check_obs_key(adata, batch_key, argument="batch_key")
    get_matrix(adata, layer)
    try:
        check_counts(adata, layer, allow_empty_cells=True)
    except ValueError as error:
        message = f"{error} {_counts_elsewhere(adata, layer)}".strip()
        raise ValueError(message) from error
    check_counts(adata, layer)
    return Cells(adata, source, as_rows(get_matrix(adata, layer)), layer, batch_key, labels_key, labels)


def where(layer: str | None) -> str:
    """Name a matrix as Python code does."""
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def _labels(adata: AnnData, labels_key: str) -> pd.Series:
    if labels_key not in adata.obs:
        check_obs_key(adata, labels_key, argument="labels_key")
    column = adata.obs[labels_key]
    labels = column.astype(object).where(column.notna(), UNLABELLED).astype(str)
    n_labels = labels.nunique()
    if n_labels > MOST_LABELS:
        message = (
            f"adata.obs[{labels_key!r}] has {n_labels} different values, more than a figure can show "
            f"({MOST_LABELS}); name a column with cell types or clusters."
        )
        raise ValueError(message)
    return labels


def _holds_counts(adata: AnnData, layer: str | None) -> bool:
    try:
        check_counts(adata, layer, allow_empty_cells=True)
    except ValueError:
        return False
    return True


def _counts_elsewhere(adata: AnnData, layer: str | None) -> str:
    """Say where counts were found instead, or nothing."""
    names = [name for name in (None, *adata.layers) if name != layer]
    found = [name for name in dict.fromkeys(names) if (name or adata.X is not None) and _holds_counts(adata, name)]
    if None in found:
        return "adata.X holds counts: leave `layer` (--layer) out."
    if found:
        listed = ", ".join(where(name) for name in found)
        verb = "holds" if len(found) == 1 else "hold"
        return f"{listed} {verb} counts: pass layer={found[0]!r} (--layer {found[0]})."
    if adata.raw is not None and set(adata.var_names) <= set(adata.raw.var_names):
        raw = AnnData(X=adata.raw[:, adata.var_names].X)
        if _holds_counts(raw, None):
            return "adata.raw holds counts: run adata.layers['counts'] = adata.raw[:, adata.var_names].X first."
    return ""


def rows_to_show(cells: Cells, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw at most `n_rows` cells, each label in proportion and at least once; sorted row numbers."""
    codes = np.zeros(cells.adata.n_obs, dtype=int) if cells.labels is None else pd.factorize(cells.labels)[0]
    return stratified_rows(codes, n_rows, rng)
