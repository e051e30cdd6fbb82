import warnings

import numpy as np
import pytest
import scvi
import torch
from cells import NETWORK, fit, make_cells, train_quietly

from scgauge.model import CountVI
from scgauge.train import library_prior, warmup_epochs

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 4, 7, 40, 100, 400])
def test_weight_is_one_for_the_last_half_of_any_run(max_epochs):
    warmup = warmup_epochs(max_epochs)
    weights = [min(1.0, epoch / warmup) if warmup else 1.0 for epoch in range(max_epochs)]
    assert weights[max_epochs // 2 :] == [1.0] * (max_epochs - max_epochs // 2)


@pytest.mark.parametrize("max_epochs", [1, 3, 8])
def test_history_holds_the_weight_of_every_epoch(max_epochs):
    model = fit(CountVI, make_cells(), epochs=max_epochs)
    weights = model.history["kl_weight"]["kl_weight"].to_numpy(dtype=float)
    warmup = max_epochs // 4
    expected = [min(1.0, epoch / warmup) if warmup else 1.0 for epoch in range(max_epochs)]
    np.testing.assert_allclose(weights, expected)
    assert weights[-1] == 1.0


def test_early_stopping_waits_until_the_weight_has_been_one_as_long_as_it_grew():
    model = CountVI(_set_up(make_cells()), **NETWORK)
    train_quietly(model, max_epochs=40, early_stopping=True, early_stopping_patience=1, early_stopping_min_delta=1e6)
    weights = model.history["kl_weight"]["kl_weight"].to_numpy(dtype=float)
    # Nothing improves by a million nats, so that the run ends at the first epoch at which it may: twice the warm-up.
    assert len(weights) == 20
    assert (weights[10:] == 1).all()
    assert (weights[:10] < 1).all()


def test_own_warm_up_is_kept_and_warned_of_if_it_is_too_long():
    model = CountVI(_set_up(make_cells()), **NETWORK)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # what Lightning has to say is not the subject
        warnings.filterwarnings("always", message="The KL weight")
        train_quietly(model, max_epochs=4, plan_kwargs={"n_epochs_kl_warmup": 8})
    assert [str(warning.message)[:50] for warning in caught] == ["The KL weight grows over 8 of 4 epochs, so that it"]
    np.testing.assert_allclose(model.history["kl_weight"]["kl_weight"].astype(float), [0, 1 / 8, 2 / 8, 3 / 8])


def test_second_training_uses_dropout_again():
    model = fit(CountVI, make_cells(), dropout_rate=0.5)
    seen = []
    handle = model.module.z_encoder.register_forward_hook(lambda module, *_: seen.append(module.training))
    train_quietly(model, max_epochs=1, train_size=0.9, validation_size=0.1)
    handle.remove()
    assert seen
    assert all(seen)


def _set_up(adata, **setup):
    CountVI.setup_anndata(adata, **setup)
    return adata


def test_library_prior_of_a_data_module_equals_that_of_the_cells():
    scvi.settings.seed = 0
    adata = _set_up(make_cells(), batch_key="batch")
    known = CountVI(adata, use_observed_lib_size=False, **NETWORK)
    deferred = CountVI(registry=known.registry, use_observed_lib_size=False, **NETWORK)
    assert deferred.module.needs_library_prior
    splitter = CountVI._data_splitter_cls(known.adata_manager, train_size=1.0, batch_size=32)
    train_quietly(deferred, datamodule=splitter, max_epochs=1)
    for name in ("library_log_means", "library_log_vars"):
        torch.testing.assert_close(getattr(deferred.module, name), getattr(known.module, name))
    log_library = np.log(np.asarray(adata.X.sum(1)).ravel())
    expected = [log_library[adata.obs["batch"] == batch].mean() for batch in ("b1", "b2")]
    np.testing.assert_allclose(deferred.module.library_log_means.numpy().ravel(), expected, rtol=1e-5)


def test_library_prior_of_batches_with_one_cell_or_none_is_that_of_all_cells():
    log_library = np.array([1.0, 2.0, 3.0, 7.0])
    rows = np.array([0, 0, 0, 1])
    count, total, squares = (
        torch.tensor(np.bincount(rows, weights, minlength=3)) for weights in (np.ones(4), log_library, log_library**2)
    )
    means, variances = library_prior(count, total, squares)
    np.testing.assert_allclose(means.numpy(), [[2.0, 7.0, log_library.mean()]])
    np.testing.assert_allclose(variances.numpy(), [[2 / 3, log_library.var(), log_library.var()]])


def test_equal_libraries_keep_a_proper_prior():
    _, variances = library_prior(*(torch.tensor([value]) for value in (3.0, 6.0, 12.0)))
    assert float(variances) == pytest.approx(1e-4)
