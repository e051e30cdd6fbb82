"""Encoders and decoders of several instruments, and the distance between their encodings, by hand."""

from itertools import combinations

import numpy as np
import pytest
import torch

from scgauge.nn import CountDecoder, Encoder, InstrumentDecoder, InstrumentEncoder, misalignment

#: Items of two instruments that do not lie side by side, and their columns.
INSTRUMENTS = (1, 0, 1, 1, 0)
COLUMNS = ([1, 4], [0, 2, 3])


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        return InstrumentEncoder(INSTRUMENTS, lambda n: Encoder(n, 2, n_hidden=8, use_batch_norm=False))


def visits():
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(4, 5)), dtype=torch.float32)
    x[0, COLUMNS[0]] = torch.nan
    x[1, COLUMNS[1]] = torch.nan
    x[2, 3] = torch.nan
    return x


def test_encodings_of_instruments_are_combined_by_inverse_variance(encoder):
    x = visits()
    assert encoder.taken(x).tolist() == [[False, True], [True, False], [True, True], [True, True]]
    with torch.no_grad():
        found = encoder(x)
        one, other = (part(x[:, mine].nan_to_num(0.0)) for part, mine in zip(encoder.encoders, COLUMNS, strict=True))
    torch.testing.assert_close(found.loc[0], other.loc[0])
    torch.testing.assert_close(found.loc[1], one.loc[1])
    precision = one.variance.reciprocal() + other.variance.reciprocal()
    weighted = (one.loc / one.variance + other.loc / other.variance) / precision
    torch.testing.assert_close(found.loc[2:], weighted[2:])
    torch.testing.assert_close(found.variance[2:], precision.reciprocal()[2:])


def test_what_follows_the_items_is_read_by_all_encoders():
    wide = InstrumentEncoder(INSTRUMENTS, lambda n: Encoder(n + 1, 2, n_hidden=8, use_batch_norm=False))
    x = visits()
    with torch.no_grad():
        one, other = (wide(torch.cat((x, torch.full((4, 1), value)), 1)).loc for value in (0.0, 1.0))
    assert (one != other).all()


def test_decoded_items_are_in_their_columns():
    decoder = InstrumentDecoder(
        INSTRUMENTS,
        lambda n: CountDecoder(2, n, n_hidden=8, use_batch_norm=False, activation=torch.nn.Identity()),
    )
    z = torch.ones(3, 4, 2)
    with torch.no_grad():
        found = decoder(z)
        for part, mine in zip(decoder.decoders, COLUMNS, strict=True):
            torch.testing.assert_close(found.scale[..., mine], part(z).scale)
    assert found.log_dispersion is None


def test_misalignment_by_hand():
    rng = np.random.default_rng(0)
    residual, weight = rng.normal(size=(30, 2)), rng.random(30)
    subject, instrument = rng.integers(4, size=30), rng.integers(3, size=30)
    instrument[subject == 3] = 1  # took one instrument only
    above = below = 0.0
    for one in range(4):
        for pair in combinations(range(3), 2):
            mine = [(subject == one) & (instrument == index) for index in pair]
            if all(part.any() for part in mine):
                both = weight[mine[0] | mine[1]].sum()
                above += both * np.square(residual[mine[0]].mean(0) - residual[mine[1]].mean(0)).sum()
                below += both
    found = misalignment(*(torch.as_tensor(part) for part in (residual, subject, instrument, weight)))
    assert float(found) == pytest.approx(above / below)


def test_misalignment_is_a_norm_and_zero_without_pairs():
    """The published code takes the magnitude of the sum of the differences, in which (1, -1) would be nothing."""
    residual = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    subject, weight = torch.tensor([0.0, 0.0]), torch.ones(2)
    assert float(misalignment(residual, subject, torch.tensor([0, 1]), weight)) == 2.0
    assert float(misalignment(residual, subject, torch.tensor([1, 1]), weight)) == 0.0
    assert float(misalignment(residual[:0], subject[:0], torch.tensor([]).long(), weight[:0])) == 0.0
