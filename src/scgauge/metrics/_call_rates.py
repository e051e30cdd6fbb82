from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from scgauge._core.short_repr import short_repr
from scgauge.metrics._decode_barcodes import as_words, pairwise_distances

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CallRates:
    """What becomes of a barcode that is read with errors; see :func:`call_rates`.

    Attributes
    ----------
    exact
        Probability that a word is read without error, ``(n_words,)``.
    corrected
        Probability that it is read with one error, which is corrected.
    miscalled
        Probability that it is taken for another word.
    rejected
        Probability that it is called nothing.
    """

    exact: np.ndarray
    corrected: np.ndarray
    miscalled: np.ndarray
    rejected: np.ndarray

    __repr__ = short_repr


def call_rates(codebook: ArrayLike, *, loss: float = 0.1, gain: float = 0.04) -> CallRates:
    r"""Compute how often words of a code are called right, wrong or not at all.

    Bits err independently: a 1 is lost with probability :math:`p_1`, a 0 gained with :math:`p_0`. A word with :math:`w`
    ones among :math:`b` bits is

    * exact with probability :math:`(1-p_1)^w (1-p_0)^{b-w}`,
    * one error away with that times :math:`w \frac{p_1}{1-p_1} + (b-w) \frac{p_0}{1-p_0}`,

    and is taken for another word if the errors end within one bit of it: the sum over words of the probabilities of
    their spheres of radius 1, which do not overlap in a code of minimum distance 3 or more :cite:p:`Chen15`.

    Parameters
    ----------
    codebook
        Words of zeros and ones, ``(n_words, n_bits)``, any two of which differ in three bits or more.
    loss
        :math:`p_1`, probability that a 1 is read as 0. The default is the size reported for MERFISH.
    gain
        :math:`p_0`, probability that a 0 is read as 1.

    Returns
    -------
    Frozen dataclass: ``exact``, ``corrected``, ``miscalled``, ``rejected``; they sum to 1.

    Raises
    ------
    ValueError
        If the words are not zeros and ones, two differ in fewer than three bits, or a probability is not in ``[0, 1]``.

    Examples
    --------
    >>> import scgauge
    >>> rates = scgauge.metrics.call_rates(scgauge.datasets.mhd4_codebook())
    >>> round(float(rates.exact[0]), 3), round(float(rates.corrected[0]), 3), round(float(rates.miscalled[0]), 4)
    (0.402, 0.38, 0.0212)
    """
    words = as_words(codebook)
    for name, value in (("loss", loss), ("gain", gain)):
        if not 0 <= value <= 1:
            message = f"{name}={value} was given; a probability is needed."
            raise ValueError(message)
    distances = pairwise_distances(words)
    if distances.min() < 3:
        message = f"Two words differ in {int(distances.min())} bits; to correct one bit they need to differ in three."
        raise ValueError(message)
    ones, shared = words.sum(axis=1).astype(int), words.astype(int) @ words.T.astype(int)
    lost = ones[:, None] - shared  # ones of the true word that the other lacks
    gained = ones[None, :] - shared
    kept, empty = shared, words.shape[1] - ones[:, None] - gained
    reached = _sphere(kept, lost, gained, empty, loss, gain)
    own = np.diag(reached)
    exact = (1 - loss) ** ones * (1 - gain) ** (words.shape[1] - ones)
    miscalled = reached.sum(axis=1) - own
    return CallRates(exact, own - exact, miscalled, np.maximum(0, 1 - own - miscalled))


def _sphere(
    kept: np.ndarray, lost: np.ndarray, gained: np.ndarray, empty: np.ndarray, loss: float, gain: float
) -> np.ndarray:
    """Probability to be read within one bit of another word, for all pairs.

    The bits fall into four classes with independent numbers of right bits; at most one of all may be wrong with
    respect to the other word.
    """
    right = ((kept, 1 - loss), (lost, loss), (gained, gain), (empty, 1 - gain))
    all_right = np.prod([binom.pmf(size, size, p) for size, p in right], axis=0)
    total = all_right.copy()
    for number, (size, p) in enumerate(right):
        others = [binom.pmf(n, n, q) for index, (n, q) in enumerate(right) if index != number]
        # binom.pmf(-1, ...) of an empty class is 0: it has no bit that could be wrong.
        total += binom.pmf(size - 1, size, p) * np.prod(others, axis=0)
    return total
