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


@pytest.fixture
def both_plans(monkeypatch):
    """History of two runs from the same seeds, one with scvi-tools' plan and one with ours."""

    def run(**arguments):
        histories = []
        for plan in (scvi.train.TrainingPlan, CountVI._training_plan_cls):
            monkeypatch.setattr(CountVI, "_training_plan_cls", plan)
            scvi.settings.seed = 0
            model = CountVI(_set_up(make_cells()), **NETWORK)
            plan_kwargs = {"n_epochs_kl_warmup": 2}
            train_quietly(model, batch_size=32, plan_kwargs=plan_kwargs, **arguments)
            histories.append(model.history)
        return histories

    return run


def test_history_is_that_of_scvi_tools(both_plans):
    theirs, ours = both_plans(max_epochs=5, check_val_every_n_epoch=2, train_size=0.7, validation_size=0.3)
    assert set(ours) == set(theirs)
    for key, expected in theirs.items():
        if key == "kl_weight":  # which scvi-tools logs now and then in an epoch
            continue
        assert ours[key].index.name == expected.index.name
        np.testing.assert_array_equal(ours[key].index, expected.index)
        np.testing.assert_allclose(ours[key].astype(float), expected.astype(float), rtol=1e-4, err_msg=key)


def test_early_stopping_stops_where_that_of_scvi_tools_does(both_plans):
    stopping = {"early_stopping": True, "early_stopping_patience": 2, "early_stopping_min_delta": 3.0}
    theirs, ours = both_plans(max_epochs=60, **stopping)
    assert len(theirs["elbo_train"]) == len(ours["elbo_train"]) < 60


def test_callbacks_and_loggers_of_the_user_see_every_epoch(tmp_path):
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import CSVLogger

    class Watcher(pl.Callback):
        seen = ()

        def on_train_epoch_end(self, trainer, module):
            self.seen = (*self.seen, trainer.callback_metrics.get("elbo_validation"))

    watcher, logger = Watcher(), CSVLogger(tmp_path)
    model = CountVI(_set_up(make_cells()), **NETWORK)
    train_quietly(model, callbacks=[watcher], logger=logger, check_val_every_n_epoch=1, max_epochs=3)
    assert len(watcher.seen) == 3
    assert all(value is not None for value in watcher.seen)
    lines = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    assert "elbo_train" in lines.splitlines()[0]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_at_any_precision(precision):
    scvi.settings.seed = 0
    model = CountVI(_set_up(make_cells()), **NETWORK)
    before = {name: value.clone() for name, value in model.module.named_parameters()}
    train_quietly(model, max_epochs=2, gradient_clip_val=1e-30, precision=precision, plan_kwargs={"weight_decay": 0.0})
    # Clipped to nothing: the step of Adam is gradient / (|gradient| + eps) times the learning rate.
    for name, value in model.module.named_parameters():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-12, msg=name)
    assert np.isfinite(model.history["elbo_train"].astype(float)).all().all()


def test_sixteen_bit_training_ends_where_that_in_float32_does():
    bounds = []
    for precision in ("32-true", "bf16-mixed"):
        scvi.settings.seed = 0
        model = CountVI(_set_up(make_cells()), **NETWORK)
        train_quietly(model, max_epochs=20, precision=precision, batch_size=32)
        bounds.append(float(model.history["elbo_train"].iloc[-1].item()))
    assert bounds[1] == pytest.approx(bounds[0], rel=0.01)


def test_optimizer_is_fused_but_where_lightning_would_refuse_it():
    for clip, precision, fused in ((None, "32-true", True), (1.0, "32-true", True), (1.0, "bf16-mixed", False)):
        model = CountVI(_set_up(make_cells()), **NETWORK)
        train_quietly(model, max_epochs=1, gradient_clip_val=clip, precision=precision)
        assert bool(model.trainer.optimizers[0].defaults["fused"]) is fused
