from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scgauge._core.loggers import warnings_only

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Loggers that tell how they work rather than what goes wrong: devices found, seed set, tips, "fit stopped".
_CHATTY_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "scvi")

#: Warnings about the inside of other packages that no user of a page can act on: message, category, module.
_CHATTER: tuple[tuple[str, type[Warning], str], ...] = (
    # Lightning speaks of its logger and of torch's own data structures ...
    (r"The number of training batches", UserWarning, r"lightning\."),
    (r".*isinstance\(treespec, LeafSpec\)", Warning, r"lightning\."),
    # ... and recommends worker processes for data that are in memory already.
    (r"The '\w+_dataloader' does not have many workers", UserWarning, r"lightning\."),
    # Extension modules that were built by SWIG.
    (r"builtin type (SwigPy|swigvarlink)", DeprecationWarning, r""),
    # UMAP runs on one thread so that the same seed gives the same picture; that is what was asked for.
    (r"n_jobs value .* overridden to 1", UserWarning, r"umap\."),
    # Too few cells for the starting positions it prefers; it takes random ones.
    (r"(k >= N for N \* N square matrix|Spectral initialisation failed)", Warning, r""),
    # Files of old versions of anndata, which reads them well.
    (r"Moving element from \.uns", FutureWarning, r"anndata"),
    # anndata names cells that share a name; nothing here looks a cell up by name.
    (r"Observation names are not unique", UserWarning, r""),
    # anndata 0.13 asks pandas 3 for an option that pandas has deprecated.
    (r"The 'future.infer_string' option is deprecated", Warning, r"anndata"),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Run a block without the chatter of other packages; filters and levels are put back, also after an exception.

    Only warnings known by message and module are held back: what says that something is wrong is still seen.
    """
    with warnings.catch_warnings(), warnings_only(*_CHATTY_LOGGERS):
        for message, category, module in _CHATTER:
            warnings.filterwarnings("ignore", message=message, category=category, module=module)
        yield
