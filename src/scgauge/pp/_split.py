from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata, check_obs_key
from scgauge._core.rng import RNG, generator
from scgauge._core.store import store

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike

PARTS = ("train", "validation", "test")
#: Random orders of the subjects that are tried; the best balanced is taken.
_N_TRIES = 20


def _check_fractions(fractions: ArrayLike) -> np.ndarray:
    try:
        shares = np.asarray(fractions)
    except ValueError:  # lists of different lengths
        shares = np.empty(0, dtype=object)
    if shares.dtype.kind not in "if" or shares.shape not in {(2,), (3,)}:
        message = f"`fractions` needs three numbers, the shares of {PARTS}, or the first two; found {fractions!r}."
        raise ValueError(message)
    if not (np.isfinite(shares) & (shares >= 0)).all() or shares[0] == 0 or not np.isclose(shares.sum(), 1):
        message = f"`fractions` must be at least 0, sum to 1 and leave cells to train on; found {fractions!r}."
        raise ValueError(message)
    return np.pad(shares, (0, 3 - len(shares)))


def _codes(adata: AnnData, key: str | None, *, argument: str) -> np.ndarray:
    """Group of each cell as an integer from 0; all 0 without a key."""
    if key is None:
        return np.zeros(adata.n_obs, dtype=np.int64)
    return pd.factorize(check_obs_key(adata, key, argument=argument), sort=False)[0].astype(np.int64)


def _check_room(n_units: int, shares: np.ndarray, unit: str) -> None:
    parts = [part for part, share in zip(PARTS, shares, strict=True) if share > 0]
    if n_units < len(parts):
        message = f"Found {n_units} {unit}, fewer than the {len(parts)} parts {parts}; set a fraction to 0."
        raise ValueError(message)


def _split_cells(strata: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Part of each cell: every stratum within one cell of its shares, rounding carried from stratum to stratum."""
    part = np.empty(len(strata), dtype=np.int64)
    owed = np.zeros(len(shares))
    for stratum in rng.permutation(strata.max() + 1):
        cells = rng.permutation(np.flatnonzero(strata == stratum))
        quota = len(cells) * shares
        n_cells = np.floor(quota + 1e-9).astype(np.int64)  # 0.7 * 10 may come out below 7
        owed += quota - n_cells
        # The places that rounding down has left go to the parts that are owed most, one each.
        rounded = quota - n_cells > 1e-9
        winners = np.argsort(np.where(rounded, -owed, np.inf), kind="stable")[: len(cells) - n_cells.sum()]
        n_cells[winners] += 1
        owed[winners] -= 1
        part[cells] = np.repeat(np.arange(len(shares)), n_cells)
    return part


def _assign_subjects(table: np.ndarray, target: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, float]:
    """Give each subject in turn to the part where it mends the balance most; return parts and imbalance left."""
    weight = 1 / table.sum(axis=0)  # each stratum counts alike
    filled = np.zeros_like(target)
    part = np.empty(len(table), dtype=np.int64)
    for n_done, subject in enumerate(order):
        gap = target - filled
        gain = ((gap**2 - (gap - table[subject]) ** 2) * weight**2).sum(axis=1)
        empty = (filled.sum(axis=1) == 0) & (target.sum(axis=1) > 0)
        if empty.sum() >= len(order) - n_done:  # as many subjects left as parts without any
            gain[~empty] = -np.inf
        gain[target.sum(axis=1) == 0] = -np.inf
        part[subject] = np.argmax(gain)
        filled[part[subject]] += table[subject]
    return part, float((((target - filled) * weight) ** 2).sum())


def _split_subjects(
    subjects: np.ndarray, strata: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Part of each cell with all cells of a subject in one part."""
    table = np.zeros((subjects.max() + 1, strata.max() + 1))
    np.add.at(table, (subjects, strata), 1)
    target = shares[:, None] * table.sum(axis=0)
    tries = [_assign_subjects(table, target, rng.permutation(len(table))) for _ in range(_N_TRIES)]
    part, _ = min(tries, key=lambda attempt: attempt[1])
    return part[subjects]


def split(
    adata: AnnData,
    *,
    fractions: ArrayLike = (0.8, 0.1, 0.1),
    groupby: str | None = None,
    subject_key: str | None = None,
    rng: RNG = None,
    key_added: str = "split",
    copy: bool = False,
) -> AnnData | None:
    """Divide the cells at random into training, validation and test cells.

    Without ``subject_key`` every group gets each part's share to within one cell, and so do all cells together to
    within two. With it all cells of a subject go to one part, so that the test cells come from people never seen in
    training; the shares, overall and of each group, are then as close as whole subjects allow: of 20 random orders in
    which subjects are dealt to the part that needs them most, the best balanced is taken.

    Parameters
    ----------
    adata
        Annotated data matrix.
    fractions
        Shares of ``"train"``, ``"validation"`` and ``"test"``; they sum to 1. Without a third there are no test cells.
    groupby
        Column of ``adata.obs`` whose groups keep their shares in every part (stratification), for example a cell type.
    subject_key
        Column of ``adata.obs`` whose groups stay together, for example the donor.
    rng
        Seed or Generator.
    key_added
        Column of ``adata.obs`` that is written.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obs[key_added]`` : :class:`pandas.Series` (dtype ``category``)
        ``"train"``, ``"validation"`` or ``"test"``; parts with the fraction 0 are no category.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, the arguments of this call.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If ``groupby`` or ``subject_key`` is not in ``adata.obs``.
    ValueError
        If the fractions are not shares of two or three parts; if there are fewer cells or subjects than parts, or so
        few cells that a part would be empty; if a column has missing values.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scgauge
    >>> adata = ad.AnnData(np.ones((10, 2), dtype="float32"))
    >>> scgauge.pp.split(adata, fractions=(0.8, 0.2), rng=0)
    >>> adata.obs["split"].value_counts().to_dict()
    {'train': 8, 'validation': 2}
    """
    check_adata(adata)
    shares = _check_fractions(fractions)
    strata = _codes(adata, groupby, argument="groupby")
    generated = generator(rng)
    if subject_key is None:
        _check_room(adata.n_obs, shares, "cells")
        part = _split_cells(strata, shares, generated)
    else:
        subjects = _codes(adata, subject_key, argument="subject_key")
        _check_room(int(subjects.max()) + 1, shares, f"subjects in adata.obs[{subject_key!r}]")
        part = _split_subjects(subjects, strata, shares, generated)
    used = [index for index, share in enumerate(shares) if share > 0]
    empty = [PARTS[index] for index in used if not (part == index).any()]
    if empty:
        message = f"{adata.n_obs} cells are too few for fractions={fractions!r}: no cell is left for {empty}."
        raise ValueError(message)
    labels = pd.Categorical([PARTS[index] for index in part], categories=[PARTS[index] for index in used])
    params = {"fractions": fractions, "groupby": groupby, "subject_key": subject_key, "rng": rng}
    return store(adata, copy=copy, obs={key_added: labels}, uns={key_added: {"params": params}})
