from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.short_repr import short_repr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Words read at once.
_AT_ONCE = 65_536


@dataclass(frozen=True)
class DecodedBarcodes:
    """Words that were read, with the words of the code that they stand for; see :func:`decode_barcodes`.

    Attributes
    ----------
    word
        Row of the word in the codebook, ``(n,)``; -1 if rejected.
    n_errors
        Bits in which the word that was read differs from the nearest word of the code.
    bit
        Bit that was corrected; -1 if none was.
    """

    word: np.ndarray
    n_errors: np.ndarray
    bit: np.ndarray

    __repr__ = short_repr


def as_words(words: ArrayLike, name: str = "codebook") -> np.ndarray:
    """Bring words into the form ``(n, n_bits)`` of dtype uint8, or raise ValueError."""
    found = np.asarray(words)
    if found.ndim != 2 or 0 in found.shape or not np.isin(found, (0, 1)).all():
        message = f"`{name}` needs zeros and ones in the shape (n, n_bits); found the shape {found.shape}."
        raise ValueError(message)
    return found.astype(np.uint8)


def pairwise_distances(words: np.ndarray) -> np.ndarray:
    """Hamming distances of all pairs of different words; empty distance (the number of bits) for a single word."""
    signed = 1 - 2 * words.astype(np.int64)
    distances = (words.shape[1] - signed @ signed.T) // 2
    upper = distances[np.triu_indices(len(words), 1)]
    return upper if len(upper) else np.array([words.shape[1]])


def decode_barcodes(words: Any, codebook: ArrayLike, *, max_errors: int = 1) -> DecodedBarcodes:
    """Find the word of a code that each word read stands for; correct single errors, reject the rest.

    A word is called if exactly one word of the code differs from it in at most ``max_errors`` bits. With a minimum
    distance of four, as in MHD4, every single error is corrected and every double error rejected :cite:p:`Chen15`.

    Parameters
    ----------
    words
        Words that were read, ``(n, n_bits)``, zeros and ones.
    codebook
        Words of the code, ``(n_words, n_bits)``, all different.
    max_errors
        Most bits that are corrected: 0 takes exact words alone.

    Returns
    -------
    Frozen dataclass: ``word`` (-1 if rejected), ``n_errors`` to the nearest word, ``bit`` that was corrected (-1 if
    none, or more than one).

    Raises
    ------
    ValueError
        If there is anything but zeros and ones, numbers of bits differ, words of the code repeat, or the code cannot
        correct as many errors as asked for.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> code = scgauge.datasets.mhd4_codebook()
    >>> read = code[[0, 7, 7]].copy()
    >>> read[1, 15] ^= 1
    >>> read[2, :2] ^= 1
    >>> decoded = scgauge.metrics.decode_barcodes(read, code)
    >>> decoded.word.tolist(), decoded.n_errors.tolist(), decoded.bit.tolist()
    ([0, 7, -1], [0, 1, 2], [-1, 15, -1])
    """
    read, code = as_words(words, "words"), as_words(codebook)
    if read.shape[1] != code.shape[1]:
        message = f"`words` have {read.shape[1]} bits and those of the code {code.shape[1]}."
        raise ValueError(message)
    distance = int(pairwise_distances(code).min())
    if max_errors < 0 or 2 * max_errors + 1 > distance:
        message = (
            f"max_errors={max_errors} was given; words of the code differ in {distance} bits or more, which corrects "
            f"{max(0, (distance - 1) // 2)}."
        )
        raise ValueError(message)
    word, n_errors, bit = (np.empty(len(read), dtype=np.int64) for _ in range(3))
    signed = 1 - 2 * code.astype(np.float32)
    for start in range(0, len(read), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        agreement = (1 - 2 * read[rows].astype(np.float32)) @ signed.T
        nearest = agreement.argmax(axis=1)
        n_errors[rows] = (code.shape[1] - agreement[np.arange(len(nearest)), nearest].astype(np.int64)) // 2
        called = n_errors[rows] <= max_errors
        word[rows] = np.where(called, nearest, -1)
        wrong = read[rows] != code[nearest]
        bit[rows] = np.where(called & (n_errors[rows] == 1), wrong.argmax(axis=1), -1)
    return DecodedBarcodes(word, n_errors, bit)
