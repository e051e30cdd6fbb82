from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Up to here a minibatch is too little work to share: genes, and the cells that go with them.
MOST_GENES_ON_ONE_THREAD, CELLS_OF_A_STEP = 3_000, 128


def takes_one_thread(n_genes: int, batch_size: int = CELLS_OF_A_STEP) -> bool:
    """Whether a model is trained on one thread.

    Threads of torch that share too little work wait for each other, busily: beside other programs the training of 765
    genes took 14 times as long on two threads as on one, and even alone 2,000 and 4,000 genes gained nothing by a
    second. The numbers also no longer depend on the number of cores.

    Parameters
    ----------
    n_genes
        Number of genes.
    batch_size
        Cells in a minibatch.
    """
    return n_genes * batch_size <= MOST_GENES_ON_ONE_THREAD * CELLS_OF_A_STEP


@contextmanager
def threads_for(n_genes: int, batch_size: int = CELLS_OF_A_STEP) -> Iterator[None]:
    """Run a block with the threads of torch that suit the size of its minibatches; put their number back afterwards."""
    before = torch.get_num_threads()
    try:
        if takes_one_thread(n_genes, batch_size):
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
