"""Saved models are whole or not there, and are loaded only with the genes that they were trained on."""

import errno
from pathlib import Path

import numpy as np
import pytest
from cells import fit, make_cells
from scvi.model.base import BaseModelClass

from scgauge.model import Autoencoder, CountVI

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def trained():
    return fit(CountVI, make_cells(), epochs=1)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_saved_and_loaded_models_agree(trained, tmp_path):
    trained.save(tmp_path / "deep" / "model", save_anndata=True)
    assert files(tmp_path) == ["deep", "deep/model", "deep/model/adata.h5ad", "deep/model/model.pt"]
    loaded = CountVI.load(tmp_path / "deep" / "model")
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


def test_a_prefix_names_the_files(trained, tmp_path):
    trained.save(tmp_path / "model", "first_")
    trained.save(tmp_path / "model", prefix="second_", overwrite=True)
    assert files(tmp_path / "model") == ["first_model.pt", "second_model.pt"]
    loaded = CountVI.load(tmp_path / "model", make_cells(), prefix="second_")
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


def test_a_folder_that_exists_is_kept(trained, tmp_path):
    with pytest.raises(ValueError, match="exists already. Choose another folder, or pass overwrite=True"):
        trained.save(tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [True, False], ids=["over another", "first"])
def test_an_interrupted_save_changes_nothing(there, error, trained, tmp_path, monkeypatch):
    target = tmp_path / "model"
    if there:
        trained.save(target)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}

    def stop(self, folder, *args, **kwargs):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "model.pt").write_bytes(b"half")
        raise error

    monkeypatch.setattr(BaseModelClass, "save", stop)
    with pytest.raises(type(error)):
        trained.save(target, overwrite=True)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)} == before
    if there:
        CountVI.load(target, make_cells())


def test_what_a_killed_save_has_left_is_cleared(trained, tmp_path):
    (tmp_path / ".unfinished-model").mkdir()
    (tmp_path / ".unfinished-model" / "model.pt").write_bytes(b"half")
    trained.save(tmp_path / "model")
    assert files(tmp_path) == ["model", "model/model.pt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda adata: adata[:, 2:].copy(), r"lack 2 of the 20 genes .* example 'gene_0', 'gene_1'", id="missing"
        ),
        pytest.param(lambda adata: adata[:, ::-1].copy(), r"with another order\. Run", id="order"),
        pytest.param(lambda _: make_cells(n_vars=22), r"2 further genes, for example 'gene_20', 'gene_21'", id="extra"),
    ],
)
@pytest.mark.parametrize("model_class", [CountVI, Autoencoder])
def test_other_genes_are_an_error(model_class, change, message, tmp_path):
    adata = make_cells("normal" if model_class is Autoencoder else "counts")
    fit(model_class, adata, setup={}, epochs=1, n_latent=2, n_hidden=8).save(tmp_path / "model")
    other = change(make_cells())
    with pytest.raises(ValueError, match=message):
        model_class.load(tmp_path / "model", other)
    assert not [name for name in (*other.obs, *other.uns) if name.startswith("_scvi")]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_named(damage, trained, tmp_path):
    trained.save(tmp_path / "model")
    path = tmp_path / "model" / "model.pt"
    content = path.read_bytes()
    noise = np.random.default_rng(0).bytes(500)
    path.write_bytes({"cut": content[: len(content) // 2], "noise": noise, "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"model\.pt is damaged or no saved model"):
        CountVI.load(tmp_path / "model", make_cells())


def test_a_bit_that_flips_in_the_weights_is_seen(trained, tmp_path):
    trained.save(tmp_path / "model")
    path = tmp_path / "model" / "model.pt"
    content = bytearray(path.read_bytes())
    weights = trained.module.z_encoder.mean.weight.detach().numpy().tobytes()
    content[content.index(weights) + 5] ^= 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt is damaged: the checksum of its part '.*data/"):
        CountVI.load(tmp_path / "model", make_cells())


def test_an_empty_folder_has_no_model(tmp_path):
    with pytest.raises(ValueError, match="Failed to load model file"):
        CountVI.load(tmp_path, make_cells())
