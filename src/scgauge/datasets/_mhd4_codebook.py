from __future__ import annotations

import numpy as np

#: Bits of a word, and ones in it.
N_BITS, WEIGHT = 16, 4


def mhd4_codebook() -> np.ndarray:
    r"""Return the code of MERFISH with 16 rounds of imaging, four bright rounds a word and minimum distance four.

    The words of weight 4 of the extended Hamming code :math:`[16, 11, 4]` ("MHD4", :cite:t:`Chen15`): 140 words, of
    which any two differ in at least four rounds. One wrong bit can be corrected, two can be detected. Four ones in each
    word keep every barcode equally exposed to errors, since a bright spot is lost more often than one is seen where
    there is none.

    Numbering the rounds from 0 to 15 in binary, these are the sets of four rounds whose exclusive or is 0.

    Returns
    -------
    Words of zeros and ones, ``(140, 16)`` (dtype ``uint8``), in lexicographic order of their bright rounds.

    Examples
    --------
    >>> import scgauge
    >>> words = scgauge.datasets.mhd4_codebook()
    >>> words.shape, words[0].tolist()
    ((140, 16), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    """
    words = []
    for first in range(N_BITS):
        for second in range(first + 1, N_BITS):
            for third in range(second + 1, N_BITS):
                fourth = first ^ second ^ third
                if fourth > third:
                    word = np.zeros(N_BITS, dtype=np.uint8)
                    word[[first, second, third, fourth]] = 1
                    words.append(word)
    return np.stack(words)
