from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scgauge


def curve(key, values):
    return pd.DataFrame({key: values}, index=pd.RangeIndex(len(values), name="epoch"))


def fake(**curves):
    return SimpleNamespace(history={key: curve(key, values) for key, values in curves.items()}, is_trained=True)


FULL = {
    "train_loss": [9.0, 8.0],
    "elbo_train": [10.0, 8.0],
    "elbo_validation": [11.0, 9.0],
    "reconstruction_loss_train": [9.0, 7.5],
    "reconstruction_loss_validation": [10.0, 8.5],
    "kl_local_train": [1.0, 0.5],
    "kl_weight": [0.0, 1.0],
}


def test_one_panel_for_each_kind_of_curve():
    axes = scgauge.pl.history(fake(**FULL), show=False)
    labels = [panel.get_ylabel().split("\n")[0] for panel in axes]
    assert labels == ["Negative ELBO", "Reconstruction loss", "KL divergence", "KL weight"]
    assert [len(panel.lines) for panel in axes] == [2, 2, 1, 1]
    training, validation = axes[0].lines
    assert training.get_ydata().tolist() == [10.0, 8.0]
    assert training.get_xdata().tolist() == [0, 1]
    assert validation.get_ydata().tolist() == [11.0, 9.0]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["training", "validation"]
    assert axes[2].get_legend() is None
    assert {panel.get_xlabel() for panel in axes} == {"Epoch"}


def test_missing_epochs_are_left_out():
    panel = scgauge.pl.history(fake(elbo_validation=[3.0, np.nan, 2.0]), show=False)
    assert panel.lines[0].get_xdata().tolist() == [0, 2]


def test_one_epoch_is_a_dot():
    panel = scgauge.pl.history(fake(elbo_train=[3.0]), show=False)
    assert panel.lines[0].get_marker() == "o"
    assert panel.get_xticks().tolist() == [0]


def test_figure_and_given_axes():
    assert isinstance(scgauge.pl.history(fake(**FULL), return_fig=True), Figure)
    panel = scgauge.pl.history(fake(elbo_train=[3.0, 2.0]), show=False)
    assert isinstance(panel, Axes)
    assert scgauge.pl.history(fake(elbo_train=[3.0, 2.0]), ax=panel) is panel
    with pytest.raises(ValueError, match="`ax` has 1 Axes; this figure has 4 panels"):
        scgauge.pl.history(fake(**FULL), ax=panel)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:Warning:lightning")  # Lightning on a newer torch
@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning:lightning")  # one batch of 60 cells
@pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode:UserWarning:lightning")  # scvi-tools' early setup
@pytest.mark.filterwarnings("ignore:The 'val_dataloader' does not have many workers:UserWarning:lightning")
@pytest.mark.parametrize("model_class", [scvi.model.SCVI, scvi.model.LinearSCVI, scgauge.model.CountVI])
def test_models_of_scvi_tools_and_ours(model_class):
    adata = AnnData(np.random.default_rng(0).poisson(2.0, (60, 8)).astype("f4"))
    model_class.setup_anndata(adata)
    model = model_class(adata, n_hidden=8, n_latent=2)
    with pytest.raises(RuntimeError, match=rf"This {model_class.__name__} is not trained.*Run: model.train\(\)"):
        scgauge.pl.history(model, show=False)
    model.train(max_epochs=2, accelerator="cpu", train_size=0.8, check_val_every_n_epoch=1, enable_progress_bar=False)
    axes = scgauge.pl.history(model, show=False)
    training, validation = axes[0].lines
    np.testing.assert_allclose(training.get_ydata(), model.history["elbo_train"]["elbo_train"].astype(float))
    np.testing.assert_allclose(
        validation.get_ydata(), model.history["elbo_validation"]["elbo_validation"].astype(float)
    )


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        pytest.param(3, TypeError, "int has no `history`", id="no-model"),
        pytest.param(SimpleNamespace(history=None), RuntimeError, "is not trained", id="untrained"),
        pytest.param(SimpleNamespace(history={}, is_trained=False), RuntimeError, "is not trained", id="not-trained"),
        pytest.param(fake(accuracy=[0.5]), ValueError, r"no ELBO.*found \['accuracy'\]", id="other-curves"),
    ],
)
def test_bad_input(model, error, match):
    with pytest.raises(error, match=match):
        scgauge.pl.history(model, show=False)
