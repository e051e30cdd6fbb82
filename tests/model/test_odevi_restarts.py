"""ODEVI of individuals from several starting values: the one with the lowest loss is kept."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cells import train_quietly
from lightning.pytorch.callbacks import Callback

from scgauge._core.rng import seeded
from scgauge.datasets import simulate_longitudinal, simulate_time_series
from scgauge.model import ODEVI
from scgauge.model._refit import refit
from scgauge.train import SubjectLoader
from scgauge.train._cell_store import CellStore


def individuals():
    adata = simulate_longitudinal(30, rng=0)
    scvi.settings.seed = 0
    ODEVI.setup_anndata(adata, time_key="time", subject_key="subject", baseline_obsm_key="baseline")
    return ODEVI(adata, gene_likelihood="normal", n_hidden=16)


def train(model, n_starts, epochs=6, **arguments):
    return train_quietly(model, **({"max_epochs": epochs, "accelerator": "cpu", "n_starts": n_starts} | arguments))


def weights(model):
    return torch.cat([value.reshape(-1).double() for value in model.module.state_dict().values()])


@pytest.fixture(scope="module")
def model():
    return train(individuals(), 3)


def test_the_first_start_is_the_only_one_of_a_plain_training(model):
    plain = individuals()
    before = plain.module
    train_quietly(plain, max_epochs=6, accelerator="cpu")
    state = torch.get_rng_state()
    assert plain.module is before
    one = train(individuals(), 1)
    torch.testing.assert_close(weights(one), weights(plain), rtol=0, atol=0)
    assert "n_starts" not in one.train_params_
    with pytest.raises(ValueError, match="not trained from several starting values"):
        one.get_starts()
    rows = plain.validation_indices
    assert model.get_starts()["validation_loss"][0] == plain._final_loss(plain.module, rows, 128)
    # What comes after is the same, too.
    train(individuals(), 3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("train_size", [1.0, 0.6])
def test_the_lowest_loss_wins(train_size):
    """A model that was trained before against new values, and one that was spoiled."""
    model = individuals()
    train_quietly(model, max_epochs=60, accelerator="cpu", train_size=1.0)
    train(model, 2, 3, train_size=train_size)
    assert list(model.get_starts()["kept"]) == [True, False]
    assert len(model.history["train_loss"]) == 63
    with torch.no_grad():
        for parameter in model.module.field.parameters():
            parameter.fill_(5.0)
        for parameter in model.module.decoder.parameters():
            parameter.fill_(5.0)
    spoiled = model.module
    train(model, 3, 3, train_size=train_size, plan_kwargs={"lr": 1e-4})
    found = model.get_starts()
    decides = "train_loss" if train_size == 1 else "validation_loss"
    assert found["start"][found["kept"]].item() == found[decides].argmin() > 0
    assert found["validation_loss"].isna().all() == (train_size == 1)
    # All of the model is that of the winner.
    assert model.module is not spoiled
    assert len(model.history["train_loss"]) == 3
    assert model.trainer.lightning_module.module is model.module
    assert model.predict_state(times=[1.0], kind="rates").X.shape == (30, 10)


def test_losses_are_those_of_the_final_weights(model):
    table = model.get_starts()
    for rows, column in ((model.train_indices, "train_loss"), (model.validation_indices, "validation_loss")):
        loader = SubjectLoader(CellStore(model.adata_manager), np.sort(rows), batch_size=100)
        model.module.eval()
        with seeded(5), torch.no_grad():
            draws = [float(model.module(next(iter(loader)))[2].loss) for _ in range(40)]
        expected = table[column][table["kept"]].item()
        assert abs(expected - np.mean(draws)) < 5 * np.std(draws) / np.sqrt(10)


def test_equal_seeds_give_equal_models(model):
    again = train(individuals(), 3)
    pd.testing.assert_frame_equal(again.get_starts(), model.get_starts())
    torch.testing.assert_close(weights(again), weights(model), rtol=0, atol=0)
    fitted = [refit(model, model.adata, seed=seed) for seed in (1, 1, 2)]
    assert fitted[0].train_params_["n_starts"] == 3
    pd.testing.assert_frame_equal(fitted[0].get_starts(), fitted[1].get_starts())
    assert not fitted[0].get_starts().equals(fitted[2].get_starts())


def test_saved_loaded_and_trained_once_more(model, tmp_path):
    model.save(tmp_path / "model", save_anndata=True)
    again = ODEVI.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.get_starts(), model.get_starts())
    torch.testing.assert_close(weights(again), weights(model), rtol=0, atol=0)
    train(again, 2, 1)
    assert len(again.get_starts()) == 2
    train(again, 1, 1)
    with pytest.raises(ValueError, match="not trained from several"):
        again.get_starts()


def test_similar_subjects_and_early_stopping(model):
    adata = model.adata.copy()
    scvi.settings.seed = 0
    ODEVI.setup_anndata(adata, time_key="time", subject_key="subject", baseline_obsm_key="baseline")
    other = ODEVI(adata, gene_likelihood="normal", n_hidden=8)
    stopping = {"early_stopping": True, "early_stopping_patience": 1}
    train(other, 2, 2, plan_kwargs={"n_similar": 3}, train_size=0.8, **stopping)
    assert other.get_starts().notna().all(axis=None)
    assert other.train_params_["n_starts"] == 2


@pytest.mark.parametrize("n_starts", [0, -1, 1.5, "3", True, None])
def test_numbers_that_are_none(n_starts):
    model = individuals()
    with pytest.raises(ValueError, match=f"n_starts={n_starts!r} was given; an integer of at least 1"):
        train(model, n_starts)
    assert not model.is_trained


@pytest.mark.parametrize("name", ["resume_from", "callbacks", "logger", "ckpt_path"])
def test_what_belongs_to_one_run(name, tmp_path):
    given = {"callbacks": [Callback()], "logger": False}.get(name, str(tmp_path / "run.ckpt"))
    model = individuals()
    with pytest.raises(ValueError, match=f"{name} was given with n_starts=2; it belongs to one run"):
        train(model, 2, **{name: given})
    assert not model.is_trained
    assert list(tmp_path.iterdir()) == []


def test_snapshots_have_one_start():
    adata = simulate_time_series(90, 20, times=(0, 1, 2), rng=0)
    ODEVI.setup_anndata(adata, time_key="time")
    model = ODEVI(adata, n_latent=2, n_hidden=8)
    with pytest.raises(ValueError, match="n_starts=2 was given; it is for individuals at visits"):
        train(model, 2)
    assert not model.is_trained
