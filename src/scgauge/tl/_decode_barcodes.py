from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgauge._core.checks import check_adata
from scgauge._core.keys import BARCODES
from scgauge._core.matrix import as_rows, get_matrix
from scgauge._core.store import store
from scgauge.metrics import decode_barcodes as from_arrays
from scgauge.metrics._points import as_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def decode_barcodes(
    adata: AnnData,
    *,
    codebook: np.ndarray,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    max_errors: int = 1,
    key_added: str = BARCODES,
    copy: bool = False,
) -> AnnData | None:
    r"""Call the genes of spots from the rounds of imaging in which they were bright (MERFISH).

    A spot is called if exactly one word of the code differs from it in at most ``max_errors`` rounds, else rejected
    (:func:`scgauge.metrics.decode_barcodes`; for the code, :func:`scgauge.datasets.mhd4_codebook`). From the bits that
    were corrected follow the rates of errors (:cite:t:`Chen15`): with :math:`N_e` exact spots and :math:`N_j` spots
    corrected in round :math:`j`, summed over words that have a 1 (or a 0) there,
    :math:`p_j \approx r / (1 + r)` with :math:`r = N_j / N_e`, a little too high, since some spots with three errors
    pass for others with one.

    Parameters
    ----------
    adata
        Spots x rounds of imaging, zeros and ones.
    codebook
        Words of the code, ``(n_words, n_rounds)``.
    genes
        Name of each word; its number if ``None``. Words that no gene uses (blanks) may have any names of their own.
    layer
        Layer to read, ``X`` if ``None``.
    max_errors
        Most bits that are corrected.
    key_added
        Key of the results.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.obs[f"{key_added}_gene"]`` : :class:`pandas.Series` (dtype ``category``)
        Gene of each spot; missing if rejected.
    ``adata.obs[f"{key_added}_errors"]`` : :class:`pandas.Series` (dtype ``int64``)
        Bits that differ from the nearest word.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``. ``"counts"``: data frame with ``gene``, ``exact``, ``corrected`` and their sum ``called``.
        ``"rounds"``: data frame with ``round``, ``loss`` (estimated rate of 1 read as 0), ``gain`` (0 read as 1); NaN
        where no exact spot says anything. ``"summary"``: data frame with the shares of spots that are ``exact``,
        ``corrected`` and ``rejected``.

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData.
    KeyError
        If the layer does not exist.
    ValueError
        If there is anything but zeros and ones, numbers of rounds differ, names repeat or do not fit the words, or the
        code cannot correct as many errors as asked for.

    Examples
    --------
    >>> import anndata as ad, scgauge
    >>> code = scgauge.datasets.mhd4_codebook()
    >>> spots = ad.AnnData(code[[3, 3, 8]].astype("float32"))
    >>> scgauge.tl.decode_barcodes(spots, codebook=code)
    >>> spots.obs["barcodes_gene"].tolist()
    ['word_3', 'word_3', 'word_8']
    """
    check_adata(adata)
    matrix = as_points(as_rows(get_matrix(adata, layer)), name="adata")
    spots = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
    result = from_arrays(spots, codebook, max_errors=max_errors)
    code = np.asarray(codebook)
    names = np.array([f"word_{index}" for index in range(len(code))] if genes is None else list(map(str, genes)))
    if len(names) != len(code) or len(set(names)) != len(names):
        message = f"`genes` needs {len(code)} different names, one for each word; found {len(set(names))}."
        raise ValueError(message)
    called, n_words = result.word >= 0, len(code)
    exact, corrected = (
        np.bincount(result.word[called & (result.n_errors > 0 if fixed else result.n_errors == 0)], minlength=n_words)
        for fixed in (False, True)
    )
    counts = pd.DataFrame({"gene": names, "exact": exact, "corrected": corrected, "called": exact + corrected})
    shares = {
        "exact": exact.sum() / adata.n_obs,
        "corrected": corrected.sum() / adata.n_obs,
        "rejected": float((~called).mean()),
    }
    params = {"layer": layer, "max_errors": max_errors, "n_words": n_words, "n_obs": adata.n_obs}
    return store(
        adata,
        copy=copy,
        obs={
            f"{key_added}_gene": pd.Categorical.from_codes(result.word, names),
            f"{key_added}_errors": result.n_errors,
        },
        uns={
            key_added: {
                "params": params,
                "counts": counts,
                "rounds": _error_rates(result.word, result.bit, code, exact, adata.var_names),
                "summary": pd.DataFrame({"statistic": list(shares), "value": list(map(float, shares.values()))}),
            }
        },
    )


def _error_rates(
    word: np.ndarray, bit: np.ndarray, code: np.ndarray, exact: np.ndarray, rounds: pd.Index
) -> pd.DataFrame:
    """Rate of lost and gained bits in each round, from single errors against exact words."""
    fixed = np.zeros(code.shape)
    one_bit = bit >= 0
    np.add.at(fixed, (word[one_bit], bit[one_bit]), 1)
    table = {"round": rounds.astype(str)}
    for name, has in (("loss", code == 1), ("gain", code == 0)):
        wrong, right = (fixed * has).sum(axis=0), (exact[:, None] * has).sum(axis=0)
        ratio = np.divide(wrong, right, out=np.full(len(rounds), np.nan), where=right > 0)
        table[name] = ratio / (1 + ratio)
    return pd.DataFrame(table)
