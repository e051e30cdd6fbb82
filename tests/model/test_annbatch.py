"""Training from stores of annbatch, as cells on disk and through scvi-tools' data module."""

import importlib.util

import numpy as np
import pytest
import scvi
from cells import NETWORK, SETUP, make_cells, train_quietly

import scgauge
from scgauge._core.stored_rows import is_stored
from scgauge.model import ODEVI, CountVI, LinearVI, SupervisedVI

N_CELLS = 240
READS = {"batch_size": 32, "chunk_size": 8, "preload_nchunks": 8, "preload_to_gpu": False}
has_annbatch = hasattr(scvi.model.SCVI, "setup_annbatch") and importlib.util.find_spec("annbatch") is not None
needs_annbatch = pytest.mark.skipif(not has_annbatch, reason="needs scvi-tools >= 1.5 and annbatch")


@pytest.fixture
def paths(tmp_path):
    adata = make_cells(n_obs=N_CELLS)
    found = []
    for name, rows in (("first", slice(0, 90)), ("second", slice(90, None))):
        found.append(str(tmp_path / f"{name}.h5ad"))
        adata[rows].copy().write_h5ad(found[-1])
    return found


@pytest.fixture
def collection(tmp_path):
    """A collection of three data sets, to which two files were shuffled, and its cells in memory."""
    import annbatch

    adata = make_cells(n_obs=N_CELLS)
    adata.obs["time"] = np.arange(N_CELLS) // 80 * 1.0
    adata.obs["growth"] = np.where(adata.obs["type"] == "alpha", 0.5, 0.1)
    adata.obsm["X_picture"] = np.random.default_rng(0).normal(size=(N_CELLS, 2))
    for name, rows in (("first", slice(0, 90)), ("second", slice(90, None))):
        adata[rows].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    store, files = tmp_path / "cells.zarr", [str(tmp_path / f"{name}.h5ad") for name in ("first", "second")]
    annbatch.DatasetCollection(store).add_adatas(files, dataset_size=100, shuffle_chunk_size=10)
    return store, adata


@needs_annbatch
@pytest.mark.filterwarnings(
    "ignore:This setting will be removed in 0.14:DeprecationWarning:scverse_misc",
    "ignore:Consolidated metadata is currently not part in the Zarr format 3:UserWarning:zarr",
)
@pytest.mark.parametrize(
    ("model_class", "setup", "network", "training"),
    [
        (
            ODEVI,
            {"time_key": "time", "growth_key": "growth", "batch_key": "batch"},
            {},
            {"plan_kwargs": {"n_flow_steps": 5}},
        ),
        (LinearVI, SETUP | {"size_factor_key": "size_factor"}, {}, {}),
        (SupervisedVI, {"labels_key": "type"}, {"basis": "X_picture", "n_latent": 2}, {"n_epochs_encoder": 1}),
    ],
)
def test_a_model_trains_from_a_collection_as_from_memory(model_class, setup, network, training, collection):
    store, adata = collection
    stored = scgauge.datasets.read_backed(store)
    assert stored.shape == adata.shape
    assert is_stored(stored.X)
    models = []
    for cells in (stored, adata[stored.obs_names].copy()):
        scvi.settings.seed = 0
        model_class.setup_anndata(cells, **setup)
        models.append(model_class(cells, gene_likelihood="nb", **NETWORK | network))
        train_quietly(models[-1], max_epochs=2, batch_size=32, **training)
    disk, memory = models
    for name, weight in memory.module.state_dict().items():
        np.testing.assert_array_equal(disk.module.state_dict()[name], weight, err_msg=name)
    np.testing.assert_array_equal(disk.get_latent_representation(), memory.get_latent_representation())
    # Validation cells are from all data sets and from both files.
    validation = disk.validation_indices
    assert {*validation // 100} == {0, 1, 2}
    assert stored.obs["src_path"].iloc[validation].nunique() == 2
    draws = [scgauge.tl.sample(model, 50, rng=0).X for model in models]
    assert (draws[0] != draws[1]).nnz == 0
    if model_class is ODEVI:
        predicted = [model.predict_state(times=[0.5, 1.5], n_cells=20, rng=0) for model in models]
        assert (predicted[0].X != predicted[1].X).nnz == 0


@needs_annbatch
# What scvi-tools 1.5 asks of anndata, zarr and annbatch while it writes a store and reads it.
@pytest.mark.filterwarnings(
    "ignore:This setting will be removed in 0.14:DeprecationWarning:scverse_misc",
    "ignore:Consolidated metadata is currently not part in the Zarr format 3:UserWarning:zarr",
    "ignore:.to_torch.'s will be replaced:DeprecationWarning:scvi",
    "ignore:The given NumPy array is not writable:UserWarning:scvi",
)
@pytest.mark.parametrize("model_class", [CountVI, LinearVI])
def test_a_model_trains_from_two_files_and_embeds_their_cells(model_class, paths, tmp_path):
    import zarr

    store = tmp_path / "cells.zarr"
    scvi.settings.seed = 0
    reader = "codec_pipeline.path"
    with zarr.config.set({reader: zarr.config.get(reader)}):  # scvi-tools sets another for all stores from then on
        module = model_class.setup_annbatch(str(store), paths=paths, **SETUP, **READS)
        model = model_class(registry=module.registry, **NETWORK)
        train_quietly(model, datamodule=module, max_epochs=2, train_size=0.8, batch_size=32)
        found = model.get_latent_representation(dataloader=module.inference_dataloader())
    assert model.is_trained
    for name in ("elbo_train", "reconstruction_loss_train"):
        assert np.isfinite(model.history[name].to_numpy(dtype=float)).all()
    cells = scgauge.datasets.read_backed(store / "dataset_0")
    assert cells.shape == (N_CELLS, 20)
    model_class.setup_anndata(cells, **SETUP)
    from_cells = model_class(cells, **NETWORK)
    from_cells.module.load_state_dict(model.module.state_dict())
    from_cells.module.eval()
    from_cells.is_trained = True
    np.testing.assert_allclose(found, from_cells.get_latent_representation(), rtol=1e-4, atol=1e-5)
    assert found.std(axis=0).min() > 0


@pytest.mark.parametrize("name", sorted(set(scgauge.model.__all__) - {"CountVI", "LinearVI"}))
def test_other_models_name_what_reads_from_disk(name):
    message = (
        rf"{name} does not train from this module of annbatch, .* scgauge\.datasets\.read_backed\(path\); {name}\."
    )
    with pytest.raises(NotImplementedError, match=message):
        getattr(scgauge.model, name).setup_annbatch("cells.zarr", paths=["cells.h5ad"])


@pytest.mark.skipif(has_annbatch, reason="annbatch can be used")
def test_what_is_missing_is_named():
    with pytest.raises(ImportError, match=r"need scvi-tools 1\.5 or newer|'annbatch' is not installed"):
        CountVI.setup_annbatch("cells.zarr", paths=["cells.h5ad"])
