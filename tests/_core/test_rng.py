import os
import random

import numpy as np
import pytest
import scvi
import torch

from scgauge._core.rng import generator, seeded

pytestmark = pytest.mark.quick


def _draw() -> tuple:
    return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002


def test_seeded_block_is_reproducible_and_leaves_no_trace():
    environment = dict(os.environ)
    remembered = scvi.settings.seed
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    expected = _draw()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.random.set_rng_state(states[2])
    with seeded(5):
        inside = _draw()
        assert scvi.settings.seed == 5
    assert _draw() == expected
    with seeded(5):
        assert _draw() == inside
    assert scvi.settings.seed == remembered
    assert dict(os.environ) == environment


def test_seeds_are_not_announced(caplog):
    with caplog.at_level("INFO", logger="lightning.fabric.utilities.seed"):
        with seeded(5):
            pass
        assert "Seed set to" not in caplog.text
        with seeded(6):
            scvi.settings.seed = 7  # the user's own are
        assert "Seed set to 7" in caplog.text


def _fail_inside() -> None:
    with seeded(1):
        raise KeyError


def test_seeded_block_restores_after_an_exception():
    state = torch.random.get_rng_state()
    with pytest.raises(KeyError):
        _fail_inside()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_generator_takes_a_seed_or_a_generator():
    own = np.random.default_rng(3)
    assert generator(own) is own
    assert generator(3).random() == np.random.default_rng(3).random()
