import warnings

import pytest
from scvi.train import LoudEarlyStopping

from scgauge.train import stopping_together

pytestmark = pytest.mark.quick


def test_one_process_is_left_to_scvi_tools():
    given = {"early_stopping": True, "early_stopping_patience": 3}
    with stopping_together(given) as arguments:
        assert arguments == given


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_several_processes_get_the_callback_with_its_arguments(strategy):
    given = {"strategy": strategy, "early_stopping": True, "early_stopping_patience": 3, "callbacks": ["mine"]}
    with stopping_together(given) as arguments:
        warnings.warn("early_stopping was automatically disabled due to the use of DDP", stacklevel=1)  # is silenced
    assert given["callbacks"] == ["mine"]
    assert set(arguments) == {"strategy", "callbacks", "check_val_every_n_epoch"}
    assert arguments["check_val_every_n_epoch"] == 1
    mine, stopping = arguments["callbacks"]
    assert mine == "mine"
    assert isinstance(stopping, LoudEarlyStopping)
    assert (stopping.patience, stopping.monitor, stopping.mode) == (3, "elbo_validation", "min")


def test_no_callbacks_may_be_given_as_none():
    given = {"strategy": "ddp", "early_stopping": True, "callbacks": None}
    with stopping_together(given) as arguments:
        assert [type(one) for one in arguments["callbacks"]] == [LoudEarlyStopping]


def test_without_early_stopping_nothing_is_added():
    with stopping_together({"strategy": "ddp", "max_epochs": 2}) as arguments:
        assert arguments == {"strategy": "ddp", "max_epochs": 2}
