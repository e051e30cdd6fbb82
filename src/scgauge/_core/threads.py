from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Up to here a minibatch is too little work to share.
MOST_GENES_ON_ONE_THREAD = 3_000
#: The same for the training that a user asks for, who may have the machine alone: genes of minibatches of this size.
MOST_GENES_IN_TRAINING, CELLS_OF_A_STEP = 1_000, 128


def takes_one_thread(n_genes: int) -> bool:
    """Whether a model of so many genes is trained on one thread.

    Threads of torch that share too little work wait for each other, busily: beside other programs the training of 765
    genes took 14 times as long on two threads as on one. The numbers also no longer depend on the number of cores.
    """
    return n_genes <= MOST_GENES_ON_ONE_THREAD


@contextmanager
def threads_for(n_genes: int) -> Iterator[None]:
    """Run a block with the threads of torch that suit the number of genes; put their number back afterwards."""
    with _one_thread_if(little=takes_one_thread(n_genes)):
        yield


@contextmanager
def threads_for_training(n_genes: int, batch_size: int) -> Iterator[None]:
    """Run a training with the threads of torch that suit its minibatches; put their number back afterwards."""
    with _one_thread_if(little=n_genes * batch_size <= MOST_GENES_IN_TRAINING * CELLS_OF_A_STEP):
        yield


@contextmanager
def _one_thread_if(*, little: bool) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if little:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
