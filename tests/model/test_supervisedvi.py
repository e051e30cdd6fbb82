import numpy as np
import pytest
import scvi
from anndata.abc import CSRDataset
from cells import make_cells

import scgauge
from scgauge._core import matrix
from scgauge.model._refit import refit
from scgauge.train import CellStore

SupervisedVI = scgauge.model.SupervisedVI


def cells_with_basis():
    """Coordinates that the counts determine up to noise: two log contrasts, turned and stretched."""
    adata = scgauge.datasets.simulate_counts(400, 40, n_latent=2, n_groups=3, rng=0)
    adata.obsm["X_picture"] = 20 * adata.obsm["latent"] @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + [5.0, -3.0]
    return adata


@pytest.fixture(scope="module")
def trained():
    adata = cells_with_basis()
    scvi.settings.seed = 0
    SupervisedVI.setup_anndata(adata)
    model = SupervisedVI(adata, basis="X_picture", n_hidden=64, gene_likelihood="nb")
    model.train(max_epochs=30, n_epochs_encoder=40, enable_progress_bar=False)
    return model


def test_the_encoder_places_cells_where_the_picture_has_them(trained):
    picture = trained.adata.obsm["X_picture"]
    error = np.square(trained.get_basis() - picture).sum() / np.square(picture - picture.mean(0)).sum()
    assert error < 0.1


def test_the_second_part_moves_no_mean_but_learns_to_decode(trained):
    adata = cells_with_basis()
    scvi.settings.seed = 0
    SupervisedVI.setup_anndata(adata)
    model = SupervisedVI(adata, basis="X_picture", n_hidden=64, gene_likelihood="nb")
    model.train(max_epochs=1, n_epochs_encoder=40, enable_progress_bar=False)
    np.testing.assert_allclose(model.get_basis(), trained.get_basis(), rtol=1e-5, atol=1e-4)
    assert (
        trained.get_reconstruction_error()["reconstruction_loss"]
        < 0.99 * (model.get_reconstruction_error()["reconstruction_loss"])
    )


def test_points_of_the_picture_decode_to_the_cells_there(trained):
    """Expected counts at the points of the picture follow the counts of the cells, gene by gene."""
    adata = trained.adata
    library = np.asarray(adata.X.sum(1)).ravel()
    z = (adata.obsm["X_picture"] - trained.basis_center_) / trained.basis_scale_
    decoded = trained.decode(z, library_size=library)
    share = adata.X.toarray().mean(0)
    strong = np.argsort(-share)[:10]
    found = [np.corrcoef(decoded[:, g], adata.X[:, [g]].toarray().ravel())[0, 1] for g in strong]
    flat = [np.corrcoef(library, adata.X[:, [g]].toarray().ravel())[0, 1] for g in strong]
    assert np.mean(found) > np.mean(flat) + 0.1


def test_is_saved_and_refitted(trained, tmp_path):
    trained.save(tmp_path / "model", save_anndata=True)
    loaded = SupervisedVI.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.get_basis(), trained.get_basis(), rtol=1e-6)
    adata = cells_with_basis()
    SupervisedVI.setup_anndata(adata)
    short = SupervisedVI(adata, basis="X_picture", n_hidden=16)
    short.train(max_epochs=1, n_epochs_encoder=2, enable_progress_bar=False)
    again = refit(short, cells_with_basis(), seed=1)
    assert again.train_params_["n_epochs_encoder"] == 2
    assert again.basis == "X_picture"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"basis": "X_nowhere"}, KeyError, "X_nowhere"),
        ({"n_latent": 3}, ValueError, "n_latent=3"),
        ({"basis": "X_flat"}, ValueError, "one place"),
    ],
)
def test_a_basis_that_does_not_fit(change, error, match):
    adata = make_cells()
    adata.obsm["X_picture"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    adata.obsm["X_flat"] = np.ones((adata.n_obs, 2))
    SupervisedVI.setup_anndata(adata)
    model = SupervisedVI(adata, **({"basis": "X_picture", "n_hidden": 8} | change))
    with pytest.raises(error, match=match):
        model.train(max_epochs=1, enable_progress_bar=False)


def test_no_epoch_for_the_encoder():
    adata = make_cells()
    adata.obsm["X_picture"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    SupervisedVI.setup_anndata(adata)
    with pytest.raises(ValueError, match="n_epochs_encoder=0"):
        SupervisedVI(adata, basis="X_picture", n_hidden=8).train(max_epochs=1, n_epochs_encoder=0)


@pytest.fixture
def never_loaded(monkeypatch):
    def fail(*_):
        message = "The matrix was loaded."
        raise AssertionError(message)

    for implementation in (CSRDataset, *CSRDataset.__subclasses__()):
        monkeypatch.setattr(implementation, "to_memory", fail)
    monkeypatch.setattr(matrix, "fetch", fail)


@pytest.mark.usefixtures("never_loaded")
def test_cells_on_disk_are_learnt_block_by_block(tmp_path):
    cells_with_basis().write_h5ad(tmp_path / "cells.h5ad")
    adata = scgauge.datasets.read_backed(tmp_path / "cells.h5ad")
    scvi.settings.seed = 0
    SupervisedVI.setup_anndata(adata)
    model = SupervisedVI(adata, basis="X_picture", n_hidden=64, gene_likelihood="nb")
    model.train(max_epochs=1, n_epochs_encoder=40, enable_progress_bar=False)
    picture = adata.obsm["X_picture"]
    error = np.square(model.get_basis() - picture).sum() / np.square(picture - picture.mean(0)).sum()
    assert error < 0.1


def test_minibatches_of_the_first_part_have_each_cell_once_with_its_own_coordinates():
    adata = cells_with_basis()[:257].copy()
    adata.obsm["X_picture"] = np.column_stack([np.arange(257.0), adata.X.toarray()[:, 0]])
    SupervisedVI.setup_anndata(adata)
    model = SupervisedVI(adata, basis="X_picture", n_hidden=8)
    seen, take = [], CellStore.take

    def spy(self, rows):
        batch = take(self, rows)
        seen.append(
            (batch["coordinates"][:, 0].numpy(), batch["coordinates"][:, 1].numpy(), batch["X"].to_dense()[:, 0])
        )
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CellStore, "take", spy)
        model._fit_encoder(adata.obsm["X_picture"], 1)
    numbers = np.concatenate([part[0] for part in seen[:2]])
    # Of 257 cells a lone last one is left out; another each time.
    assert len(np.unique(numbers)) == 256
    assert not np.array_equal(numbers, np.sort(numbers))
    for _, counts, x in seen:
        np.testing.assert_array_equal(counts, x.numpy())
