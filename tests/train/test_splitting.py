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


ROWS = np.arange(60)


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ([ROWS[:40]], ValueError, r"\(40 training, 0 validation, 0 test cells\) leaves out 20 of 60 cells\. Put cells"),
        ([ROWS[:40], ROWS[45:]], ValueError, r"\(40 training, 15 validation, 0 test cells\) leaves out 5 of 60"),
        ([ROWS, ROWS[:3]], ValueError, "names 3 cells more than once, for example row 0; each of the 60 cells"),
        ([np.r_[ROWS, 7]], ValueError, "names 1 cells more than once, for example row 7"),
        ([ROWS[:40], ROWS[40:] + 1], ValueError, "must name rows from 0 to 59"),
        ([ROWS / 2], TypeError, "must be row numbers or one True or False"),
        (ROWS, TypeError, "external_indexing is ndarray; a list of one to three sets of row numbers is needed"),
        ([ROWS[:40], ROWS[40:50], ROWS[50:], []], TypeError, "external_indexing is list of 4"),
        ([3], TypeError, "must be row numbers"),
    ],
)
def test_sets_that_do_not_divide_the_cells_are_an_error(sets, error, message):
    with pytest.raises(error, match=message):
        train_quietly(_model(60), datasplitter_kwargs={"external_indexing": sets})


@pytest.mark.parametrize(
    "sets",
    [[ROWS[:40], ROWS[40:50], ROWS[50:]], [ROWS < 40, (ROWS >= 40) & (ROWS < 50), ROWS >= 50]],
    ids=["rows", "masks"],
)
def test_named_sets_are_taken_and_the_list_is_left_alone(sets):
    model, before = _model(60), list(sets)
    train_quietly(model, max_epochs=1, datasplitter_kwargs={"external_indexing": sets})
    assert len(sets) == 3
    assert all(one is other for one, other in zip(sets, before, strict=True))
    np.testing.assert_array_equal(model.train_indices, ROWS[:40])
    np.testing.assert_array_equal(model.validation_indices, ROWS[40:50])
    np.testing.assert_array_equal(model.test_indices, ROWS[50:])


def test_all_cells_may_be_trained_on():
    model = _model(60)
    sets = [ROWS]
    train_quietly(model, max_epochs=1, datasplitter_kwargs={"external_indexing": sets})
    assert len(sets) == 1
    np.testing.assert_array_equal(model.train_indices, ROWS)
