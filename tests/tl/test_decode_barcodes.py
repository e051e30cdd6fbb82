from itertools import combinations

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import scgauge

CODE = scgauge.datasets.mhd4_codebook()
decode = scgauge.metrics.decode_barcodes
call_rates = scgauge.metrics.call_rates


def hamming_words():
    """Words of weight 4 of the extended Hamming code [16, 11, 4], from its parity checks by enumeration."""
    positions = np.arange(16)
    checks = np.stack([np.ones(16, dtype=int), *((positions >> bit) & 1 for bit in range(4))])
    words = (np.arange(2**16)[:, None] >> positions) & 1
    code = words[((words @ checks.T) % 2 == 0).all(axis=1)]
    assert len(code) == 2048
    return code[code.sum(axis=1) == 4]


def test_the_code_is_that_of_the_extended_hamming_code():
    expected = {tuple(word) for word in hamming_words()}
    assert CODE.shape == (140, 16)
    assert {tuple(word) for word in CODE} == expected
    distances = [int((a != b).sum()) for a, b in combinations(CODE, 2)]
    assert min(distances) == 4
    assert (CODE.sum(axis=1) == 4).all()
    assert len(set(CODE.sum(axis=0))) == 1  # every round is bright in as many words


def test_every_single_error_is_corrected():
    read = np.repeat(CODE, 16, axis=0)
    bits = np.tile(np.arange(16), 140)
    read[np.arange(len(read)), bits] ^= 1
    result = decode(read, CODE)
    np.testing.assert_array_equal(result.word, np.repeat(np.arange(140), 16))
    np.testing.assert_array_equal(result.bit, bits)
    assert (result.n_errors == 1).all()
    assert (decode(read, CODE, max_errors=0).word == -1).all()


def test_every_double_error_is_rejected():
    pairs = np.array(list(combinations(range(16), 2)))
    read = np.repeat(CODE, len(pairs), axis=0)
    rows = np.arange(len(read))
    for column in (0, 1):
        read[rows, np.tile(pairs[:, column], 140)] ^= 1
    result = decode(read, CODE)
    assert (result.word == -1).all()
    assert (result.n_errors == 2).all()
    assert (result.bit == -1).all()


def test_exact_words_and_blocks(monkeypatch):
    result = decode(CODE, CODE)
    assert result.word.tolist() == list(range(140))
    monkeypatch.setattr("scgauge.metrics._decode_barcodes._AT_ONCE", 33)
    assert decode(CODE, CODE).word.tolist() == list(range(140))


def test_call_rates_by_enumeration():
    """All 2^16 readings of a word, each with its probability and what it is called."""
    readings = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    called = decode(readings, CODE)
    for loss, gain in ((0.1, 0.04), (0.3, 0.2), (0.0, 0.5)):
        rates = call_rates(CODE, loss=loss, gain=gain)
        for word in (0, 77):
            one = CODE[word] == 1
            wrong = readings != CODE[word]
            p_wrong = np.where(one, loss, gain)
            mass = np.where(wrong, p_wrong, 1 - p_wrong).prod(axis=1)
            np.testing.assert_allclose(mass.sum(), 1)
            right = called.word == word
            np.testing.assert_allclose(rates.exact[word], mass[right & (called.n_errors == 0)].sum())
            np.testing.assert_allclose(rates.corrected[word], mass[right & (called.n_errors == 1)].sum())
            np.testing.assert_allclose(rates.miscalled[word], mass[~right & (called.word >= 0)].sum(), atol=1e-12)
            np.testing.assert_allclose(rates.rejected[word], mass[called.word < 0].sum(), atol=1e-12)


def test_call_rates_without_errors():
    rates = call_rates(CODE, loss=0, gain=0)
    assert (rates.exact == 1).all()
    assert (rates.corrected == 0).all()
    assert (rates.rejected == 0).all()


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_spots_are_called_and_errors_estimated(kind):
    rng = np.random.default_rng(0)
    truth = rng.integers(140, size=60_000)
    read = CODE[truth]
    flip = rng.random(read.shape) < np.where(read == 1, 0.1, 0.04)
    spots = AnnData(kind((read ^ flip).astype("f4")))
    genes = [f"gene/{index}" for index in range(140)]
    scgauge.tl.decode_barcodes(spots, codebook=CODE, genes=genes)
    result = spots.uns["barcodes"]
    called = spots.obs["barcodes_gene"].cat.codes.to_numpy()
    expected = call_rates(CODE)
    shares = result["summary"].set_index("statistic")["value"]
    # 60,000 spots: shares are known to 0.2 %.
    np.testing.assert_allclose(shares["exact"] + shares["corrected"] + shares["rejected"], 1)
    np.testing.assert_allclose((called == truth).mean(), (expected.exact + expected.corrected).mean(), atol=0.01)
    np.testing.assert_allclose(shares["rejected"], expected.rejected.mean(), atol=0.01)
    # Words with three errors may pass for others with one: the rates come out a little high.
    np.testing.assert_allclose(result["rounds"]["loss"], 0.1, atol=0.02)
    np.testing.assert_allclose(result["rounds"]["gain"], 0.04, atol=0.008)
    counts = result["counts"].set_index("gene")["called"]
    assert counts["gene/5"] == (called == 5).sum()
    assert counts.sum() == (called >= 0).sum()


def test_bad_input():
    with pytest.raises(ValueError, match="zeros and ones"):
        decode(CODE + 1, CODE)
    with pytest.raises(ValueError, match="15 bits and those of the code 16"):
        decode(CODE[:, :15], CODE)
    with pytest.raises(ValueError, match="corrects 1"):
        decode(CODE, CODE, max_errors=2)
    with pytest.raises(ValueError, match="differ in 0 bits"):
        decode(CODE, CODE[[0, 0]])
    with pytest.raises(ValueError, match="differ in 1 bits"):
        call_rates([[0, 1], [1, 1]])
    spots = AnnData(CODE.astype("f4"))
    with pytest.raises(ValueError, match="found 1"):
        scgauge.tl.decode_barcodes(spots, codebook=CODE, genes=["a"] * 140)
    assert not spots.uns
