import warnings

import numpy as np
import pytest
import scvi
from cells import SETUP, fit, make_cells

import scgauge
from scgauge._core.rng import seeded
from scgauge.model._refit import refit
from scgauge.tl._refit import fit_again

CountVI = scgauge.model.CountVI


@pytest.fixture(scope="module")
def trained():
    adata = make_cells()
    CountVI.setup_anndata(adata, **SETUP)
    model = CountVI(adata, n_latent=3, n_hidden=16, gene_likelihood="nb")
    model.train(3, train_size=0.8, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, logger=False)
    return model


def test_train_keeps_what_it_was_called_with(trained):
    assert trained.train_params_ == {
        "max_epochs": 3, "train_size": 0.8, "plan_kwargs": {"lr": 5e-3}, "enable_progress_bar": False,
    }  # fmt: skip


def test_the_same_cells_and_seed_give_the_same_model(trained):
    other = make_cells(seed=4)
    first, second, third = (refit(trained, other, seed=seed) for seed in (1, 1, 2))
    latents = [model.get_latent_representation() for model in (first, second, third)]
    np.testing.assert_array_equal(latents[0], latents[1])
    assert np.abs(latents[0] - latents[2]).max() > 1e-3
    # As if it had been written out by hand.
    with seeded(1):
        by_hand = make_cells(seed=4)
        CountVI.setup_anndata(by_hand, **SETUP)
        model = CountVI(by_hand, n_latent=3, n_hidden=16, gene_likelihood="nb")
        model.train(3, train_size=0.8, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False)
    np.testing.assert_array_equal(model.get_latent_representation(), latents[0])


def test_cells_take_no_notes(trained):
    other = make_cells(seed=4)
    before = list(other.obs.columns), list(other.uns)
    refit(trained, other, seed=0)
    assert (list(other.obs.columns), list(other.uns)) == before


def test_a_saved_model_can_be_trained_again(trained, tmp_path):
    trained.save(tmp_path / "model", save_anndata=False)
    loaded = CountVI.load(tmp_path / "model", adata=make_cells())
    assert loaded.train_params_ == trained.train_params_
    assert refit(loaded, make_cells(seed=4), seed=0).is_trained


def test_named_cells_are_not_kept():
    adata = make_cells()
    CountVI.setup_anndata(adata)
    model = CountVI(adata, n_latent=2, n_hidden=8)
    split = [np.arange(100), np.arange(100, 120), np.array([], dtype=int)]
    model.train(1, datasplitter_kwargs={"external_indexing": split}, enable_progress_bar=False)
    assert model.train_params_["datasplitter_kwargs"] == {}
    assert refit(model, make_cells(n_obs=60), seed=0).adata.n_obs == 60


def test_other_models_need_a_function():
    model = fit(scvi.model.SCVI, make_cells(), epochs=1)
    with pytest.raises(TypeError, match="SCVI does not know how it was trained"):
        refit(model, make_cells(), seed=0)


def test_a_part_of_the_cells_brings_no_warning_of_genes_without_counts():
    adata = make_cells()
    lonely = adata.X.toarray()
    lonely[1:, 0], lonely[0, 0] = 0, 3  # a gene of one cell
    adata.X = type(adata.X)(lonely)

    def set_up(cells, seed):
        CountVI.setup_anndata(cells, **SETUP)
        return CountVI(cells, n_latent=2, n_hidden=4)

    with pytest.warns(UserWarning, match="1 of .* genes have no count in any cell"):
        set_up(adata[1:].copy(), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=FutureWarning)
        fit_again(set_up, adata[1:], 0)
