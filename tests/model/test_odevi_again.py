"""ODEVI trained a second time goes on from what it has learned."""

import numpy as np
import pytest
import scvi
import torch
from cells import train_quietly
from faults.interrupted_run import StopAt, differing

from scgauge.datasets import simulate_longitudinal, simulate_time_series
from scgauge.model import ODEVI
from scgauge.module import ODEVAE
from scgauge.train import SnapshotPlan
from scgauge.train._snapshot_paths import SnapshotCells

SETUP = {"time_key": "time", "subject_key": "subject", "baseline_obsm_key": "baseline"}


def individuals(n=30, seed=0, n_hidden=16):
    adata = simulate_longitudinal(n, rng=seed)
    scvi.settings.seed = seed
    ODEVI.setup_anndata(adata, **SETUP)
    return ODEVI(adata, gene_likelihood="normal", n_hidden=n_hidden)


def train(model, epochs=4, **arguments):
    return train_quietly(model, **({"max_epochs": epochs, "accelerator": "cpu", "train_size": 1.0} | arguments))


def test_a_second_training_keeps_scales_noise_and_misfit():
    model = train(individuals(), 20)
    module = model.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    train(model, 1, plan_kwargs={"lr": 0.0})
    assert (before["log_misfit"] != before["decoder.sd"].log()).all()
    for name, value in module.state_dict().items():
        # The noise is set anew to what draws of the codes leave.
        torch.testing.assert_close(value, before[name], rtol=0.2 if name == "px_r" else 0, atol=0.05 * (name == "px_r"))


def test_in_a_second_training_all_visits_predict_each_other_from_the_start():
    model = individuals()
    reach = []
    model.module.register_forward_pre_hook(lambda module, _: reach.append(module.reach))
    train(model, 10)
    assert reach[0] == 0.1
    reach.clear()
    train(model, 10)
    assert set(reach) == {1.0}


@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:scvi")
@pytest.mark.parametrize("first", [0, 3])
def test_an_interrupted_training_goes_on_to_the_same_end(first, tmp_path):
    """The first one, and a second one of a model that was trained before."""

    def started(seed):
        model = individuals()
        if first:
            train(model, first)
        torch.manual_seed(seed)  # noqa: TID251
        return model

    whole = train(started(1), 6)
    with pytest.raises(ArithmeticError, match="stopped"):
        train(started(1), 6, resume_from=tmp_path / "run.ckpt", callbacks=[StopAt(4)])
    again = train(started(2), 6, resume_from=tmp_path / "run.ckpt")
    assert differing(whole, again) == []


@pytest.mark.slow
def test_two_trainings_are_no_worse_than_one_of_twice_the_epochs():
    """Over seeds: the error of the courses and the share of new measurements inside bands of level 0.9."""
    times, found = np.arange(1.0, 10.0), []
    for seed in range(3):
        twice, once = (individuals(100, seed, n_hidden=128) for _ in range(2))
        for model, runs in ((twice, (400, 400)), (once, (800,))):
            scvi.settings.seed = seed
            for epochs in runs:
                train(model, epochs)
            found.append(_error_and_coverage(model, times, seed))
    errors, covered = np.array(found).reshape(3, 2, 2).mean(0).T
    assert errors[0] < 1.05 * errors[1]
    assert covered[0] > covered[1] - 0.02


def _error_and_coverage(model, times, seed):
    adata = model.adata
    table = adata.uns["scgauge_truth"]["trajectories"].set_index(["group", "time"])
    groups = adata.obs.loc[~adata.obs["subject"].duplicated(), "group"].astype(str)
    states = np.stack([table.loc[group].loc[times].to_numpy() for group in groups])
    items = states[:, :, (adata.var["state"] == "u2").to_numpy().astype(int)] + adata.var["offset"].to_numpy()
    found = model.predict_state(times=times, kind="rates").X.reshape(len(times), len(items), -1).transpose(1, 0, 2)
    measured = (items + np.random.default_rng(seed).normal(0, 0.1, items.shape)).ravel()
    bands = model.get_bands(times=times, observed=True, n_samples=100, rng=seed)
    inside = (bands["lower"] <= measured) & (measured <= bands["upper"])
    return np.sqrt(np.square(found - items).mean()), inside.mean()


def test_the_memory_is_chosen_by_a_field_that_has_not_seen_the_last_snapshot():
    """Whatever the field was fitted to before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        module = ODEVAE(5, times=[0.0, 1.0, 2.0, 4.0], n_latent=2, n_hidden=8)
        draws = [torch.randn(30, 2) + time for time in range(4)]
        cells = SnapshotCells(draws, [torch.ones(30, 2)] * 4, [torch.zeros(30, 0)] * 4)
        scores = []
        for _ in range(2):
            torch.manual_seed(1)  # noqa: TID251
            SnapshotPlan(module, n_flow_steps=20)._choose_memory(cells, draws)
            scores.append(module.memory_scores)
            with torch.no_grad():
                for parameter in module.field.parameters():
                    parameter += 1.0
    assert scores[0] == scores[1]


@pytest.mark.filterwarnings("ignore:.*:UserWarning:lightning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:scvi")
def test_an_interrupted_choice_of_the_memory_goes_on(tmp_path):
    def started(seed):
        adata = simulate_time_series(90, 20, times=(0, 1, 2), rng=0)
        scvi.settings.seed = seed
        ODEVI.setup_anndata(adata, time_key="time")
        return ODEVI(adata, n_latent=2, n_hidden=8)

    options = {"plan_kwargs": {"n_flow_steps": 20}}
    whole = train(started(0), 3, **options)
    with pytest.raises(ArithmeticError, match="stopped"):
        train(started(0), 3, resume_from=tmp_path / "run.ckpt", callbacks=[StopAt(2)], **options)
    again = train(started(1), 3, resume_from=tmp_path / "run.ckpt", **options)
    assert differing(whole, again) == []
    assert again.module.memory_scores == whole.module.memory_scores
