"""Chatter is held back by name, and everything is put back."""

import logging
import warnings

import pytest
import torch

from scgauge._core.threads import threads_for
from scgauge.report._quiet import quiet


def warn_from(module, message, category=UserWarning):
    warnings.warn_explicit(message, category, filename=f"{module}.py", lineno=1, module=module)


CHATTER = [
    (
        "lightning.pytorch.loops.fit_loop",
        "The number of training batches (5) is smaller than the logging interval",
        UserWarning,
    ),
    ("lightning.pytorch.utilities._pytree", "`isinstance(treespec, LeafSpec)` is deprecated, use", FutureWarning),
    ("lightning.pytorch.trainer", "The 'train_dataloader' does not have many workers", UserWarning),
    ("importlib._bootstrap", "builtin type SwigPyPacked has no __module__ attribute", DeprecationWarning),
    ("anndata._core.anndata", "Moving element from .uns['neighbors']['distances'] to .obsp", FutureWarning),
    ("umap.umap_", "n_jobs value 1 overridden to 1 by setting random_state", UserWarning),
]


@pytest.mark.parametrize(("module", "message", "category"), CHATTER)
def test_chatter_is_not_seen(module, message, category):
    with quiet():
        warn_from(module, message, category)
    with pytest.warns(category):
        warn_from(module, message, category)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("lightning.pytorch.trainer", "Loss is not finite"),
        ("mine", "The number of training batches (5) is smaller than the logging interval"),
        ("umap.umap_", "Failed to converge"),
    ],
)
def test_other_warnings_are_seen(module, message):
    with quiet(), pytest.warns(UserWarning, match=message[:10]):
        warn_from(module, message)


def test_loggers_fall_silent_and_speak_again():
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    before = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "scvi", "lightning.fabric")}
    with quiet():
        assert not log.isEnabledFor(logging.INFO)
        assert log.isEnabledFor(logging.WARNING)
        assert not logging.getLogger("scvi.data").isEnabledFor(logging.INFO)
    assert {name: logging.getLogger(name).level for name in before} == before


def test_all_is_put_back_after_an_error():
    filters, level = list(warnings.filters), logging.getLogger("scvi").level
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), quiet(), threads_for(10):
        raise RuntimeError("stop")
    assert list(warnings.filters) == filters
    assert logging.getLogger("scvi").level == level
    assert torch.get_num_threads() == threads


def test_a_level_above_is_kept():
    log = logging.getLogger("scvi")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet():
            assert log.level == logging.ERROR
    finally:
        log.setLevel(before)
