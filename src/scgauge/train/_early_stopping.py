from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scvi.train import LoudEarlyStopping

from scgauge._core.compat import shares_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

#: scvi-tools' arguments of early stopping, and their defaults.
_DEFAULTS = {"monitor": "elbo_validation", "min_delta": 0.0, "patience": 45, "warmup_epochs": 0, "mode": "min"}


@contextmanager
def stopping_together(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Let processes that share the cells stop early, which scvi-tools switches off.

    The plans of scgauge log means over the cells of all processes, so that all of them see the same number, and
    Lightning lets them stop in the same epoch.

    Parameters
    ----------
    arguments
        Arguments of ``train``, by name; they are not changed.

    Yields
    ------
    The arguments, with early stopping as a callback where several processes train.
    """
    given = dict(arguments)
    if not shares_cells(given.get("strategy")):
        yield given
        return
    if given.pop("early_stopping", False):
        options = {name: given.pop(f"early_stopping_{name}", default) for name, default in _DEFAULTS.items()}
        given["callbacks"] = [*(given.get("callbacks") or ()), LoudEarlyStopping(**options)]
        given.setdefault("check_val_every_n_epoch", 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="early_stopping was automatically disabled", category=UserWarning)
        yield given
