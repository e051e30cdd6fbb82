"""Threads of torch: one where there is little work, and their number put back."""

import pytest
import torch
from cells import train_quietly
from lightning.pytorch.callbacks import Callback

from scgauge._core.threads import threads_for
from scgauge.datasets import simulate_counts
from scgauge.model import CountVI


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n_genes", "expected"), [(3000, 1), (3001, 2)])
def test_little_work_is_not_shared(n_genes, expected):
    with threads_for(n_genes):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("n_genes", "batch_size", "expected"), [(3000, 128, 1), (3001, 128, 2), (750, 512, 1), (751, 512, 2)]
)
def test_a_step_is_as_large_as_its_minibatch(n_genes, batch_size, expected):
    with threads_for(n_genes, batch_size):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("batch_size", "expected"), [(None, 1), (40_000, 2)])
def test_training_takes_the_threads_that_its_minibatches_need(batch_size, expected):
    class Count(Callback):
        def on_train_epoch_end(self, trainer, module):
            found.append(torch.get_num_threads())

    found = []
    adata = simulate_counts(60, 10, rng=0)
    CountVI.setup_anndata(adata)
    model = CountVI(adata, n_latent=2, n_hidden=4)
    train_quietly(model, max_epochs=2, batch_size=batch_size, callbacks=[Count()])
    assert found == [expected, expected]
    assert torch.get_num_threads() == 2
