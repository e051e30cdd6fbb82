"""Training from stores of annbatch through scvi-tools' data module, or a word on what to use instead."""

import importlib.util

import numpy as np
import pytest
import scvi
from cells import NETWORK, SETUP, make_cells, train_quietly

import scgauge
from scgauge.model import CountVI, LinearVI

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
    message = rf"{name} does not train from stores of annbatch, .* scgauge\.datasets\.read_backed\(path\); {name}\."
    with pytest.raises(NotImplementedError, match=message):
        getattr(scgauge.model, name).setup_annbatch("cells.zarr", paths=["cells.h5ad"])


@pytest.mark.skipif(has_annbatch, reason="annbatch can be used")
def test_what_is_missing_is_named():
    with pytest.raises(ImportError, match=r"need scvi-tools 1\.5 or newer|'annbatch' is not installed"):
        CountVI.setup_annbatch("cells.zarr", paths=["cells.h5ad"])
