import numpy as np
import pytest
from cells import NETWORK, make_cells, train_quietly

from scgauge.model import CountVI

pytestmark = pytest.mark.quick


def _model(n_obs: int) -> CountVI:
    adata = make_cells(n_obs=n_obs)
    adata.X = adata.X.toarray() + 1  # no gene is empty, however few cells there are
    CountVI.setup_anndata(adata)
    return CountVI(adata, **NETWORK)


def test_a_lone_last_cell_is_left_out_of_its_epoch():
    model = _model(65)
    seen = []
    handle = model.module.z_encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    train_quietly(model, train_size=1.0, batch_size=16, max_epochs=2)
    handle.remove()
    assert seen == [16] * 8
    assert np.isfinite(model.get_latent_representation()).all()


def test_two_last_cells_are_kept():
    model = _model(66)
    seen = []
    handle = model.module.z_encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    train_quietly(model, train_size=1.0, batch_size=16, max_epochs=1)
    handle.remove()
    assert seen == [16, 16, 16, 16, 2]


@pytest.mark.filterwarnings("ignore:Category 0 in adata.obs:UserWarning")  # scvi-tools says that one cell is few
def test_one_cell_cannot_train():
    with pytest.raises(ValueError, match="Found 1 cell; training needs at least 2"):
        train_quietly(_model(1))


def test_minibatches_of_one_cell_are_an_error():
    with pytest.raises(ValueError, match="batch_size=1 was given"):
        train_quietly(_model(10), batch_size=1)


def test_too_small_a_training_set_is_an_error():
    with pytest.raises(ValueError, match="1 of 10 cells are left for training"):
        train_quietly(_model(10), train_size=0.1, validation_size=0.5)
