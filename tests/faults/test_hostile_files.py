"""Files that are damaged or made to harm: an error, nothing executed, nothing written, and names stay text."""

import html
import json
import os
import pickle
import pickletools
import re
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scvi
import torch
from cells import fit, make_cells, train_quietly
from faults.interrupted_run import start, train
from faults.model_calls import RECIPES, trained
from faults.targets import quick_scores
from report.page import Page
from typer.testing import CliRunner

import scgauge
from scgauge._core.pickled_names import foreign_names
from scgauge.cli import app
from scgauge.datasets import read_backed, simulate_counts
from scgauge.report import _section

pytestmark = pytest.mark.quick

TEMPLATES = Path(scgauge.__file__).parent / "report" / "templates"
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$\\frac{$ & <b>", "{{ 7 * 7 }}' onclick='x")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path, monkeypatch):
    """What a hostile file would run leaves a file behind, which fails the test."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "hostile").exists()


def page_with(content):
    return f'<html><head><meta name="scgauge-found" content="{html.escape(content)}"></head></html>'


ROW = {
    "section": "training",
    "question": "Well?",
    "answer": "Yes",
    "sentence": "Well.",
    "numbers": {"n": 1.5, "m": None},
}


def test_the_page_of_these_tests_is_read(tmp_path):
    path = tmp_path / "card.html"
    path.write_text(page_with(json.dumps([ROW])))
    assert scgauge.report.read(path)["numbers"]["value"].tolist() == pytest.approx([1.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps([ROW])[:-5], id="cut"),
        pytest.param("", id="empty"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(json.dumps(ROW), id="no list"),
        pytest.param(json.dumps([[1, 2]]), id="no dict"),
        pytest.param(json.dumps([{"section": "training"}]), id="keys missing"),
        pytest.param(json.dumps([ROW | {"more": 1}]), id="keys too many"),
        pytest.param(json.dumps([ROW | {"answer": 3}]), id="number for text"),
        pytest.param(json.dumps([ROW | {"numbers": [1, 2]}]), id="list for numbers"),
        pytest.param(json.dumps([ROW | {"numbers": {"n": "1"}}]), id="text for a number"),
        pytest.param(json.dumps([ROW | {"numbers": {"n": True}}]), id="truth for a number"),
        pytest.param(json.dumps([ROW | {"numbers": {"n": 10**400}}]), id="huge"),
        pytest.param(json.dumps([ROW | {"numbers": {"n": float("nan")}}]), id="NaN"),
    ],
)
def test_verdicts_of_wrong_types_are_an_error(content, tmp_path):
    path = tmp_path / "card.html"
    path.write_text(page_with(content))
    with pytest.raises(ValueError, match=r"The verdicts in .*card\.html' are damaged; write the page again"):
        scgauge.report.read(path)
    assert sorted(tmp_path.iterdir()) == [path]


NOISE = pytest.param(np.random.default_rng(0).bytes(3000), id="noise")


@pytest.mark.parametrize("content", [NOISE, b"", b"\x00" * 99, b"<meta name=scgauge-found>", b"<meta " * 9])
def test_what_is_no_page_is_an_error(content, tmp_path):
    path = tmp_path / "card.html"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds no verdicts"):
        scgauge.report.read(path)


@pytest.fixture(scope="module")
def page_of_hostile_names(tmp_path_factory):
    adata = simulate_counts(320, 16, rng=0)
    adata.var_names = [f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(adata.n_vars)]
    adata.obs[HOSTILE[0]] = [HOSTILE[i % 2] for i in range(adata.n_obs)]
    adata.obs[HOSTILE[1]] = [HOSTILE[i % 3] for i in range(adata.n_obs)]
    adata.obsm[f"X_{HOSTILE[1]}"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    scvi.settings.seed = 0
    scgauge.model.CountVI.setup_anndata(adata, batch_key=HOSTILE[0])
    model = train_quietly(scgauge.model.CountVI(adata, n_latent=2, n_hidden=8), train_size=0.7)
    path = tmp_path_factory.mktemp("page") / "card.html"
    with pytest.MonkeyPatch.context() as patch, quick_scores():
        patch.setattr(_section, "_DPI", 40)
        scgauge.report.write(adata, model, path, labels_key=HOSTILE[1], title=HOSTILE[0], progress=False)
    return path


def test_names_stay_text_in_a_page(page_of_hostile_names):
    page = Page(page_of_hostile_names)
    kinds = {name for name, _ in page.elements}
    assert not kinds & {"script", "iframe", "object", "embed", "form", "link", "base"}
    assert [source for source in page.all("img") if not source["src"].startswith("data:image/png;base64,")] == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    # Not because they are not there.
    assert all(name in page.text for name in HOSTILE[:2])
    assert "not checked" not in page.text
    assert scgauge.report.read(page_of_hostile_names)["verdicts"]["section"].nunique() == 5


def test_no_template_switches_escaping_off():
    source = "".join(path.read_text() for path in TEMPLATES.iterdir())
    assert "autoescape" not in source
    assert "safe" not in source
    code = "".join(path.read_text() for path in TEMPLATES.parent.rglob("*.py"))
    assert "Markup" not in code
    assert "autoescape=True" in code


# Stores and h5ad files, which anndata, h5py and zarr read.


@pytest.mark.parametrize("slot", ["filters", "compressor"])
@pytest.mark.parametrize("where", ["X", "obs", "uns"])
def test_pickled_objects_in_a_store_are_refused(where, slot, tmp_path):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    format_2 = {"zarr_format": 2} if int(zarr.__version__.partition(".")[0]) > 2 else {}
    group = zarr.open_group(tmp_path / "cells.zarr", mode="w", **format_2)
    anndata.io.write_elem(group, "/", make_cells())
    place = {"X": "X/data", "obs": "obs/type", "uns": "uns/more"}[where]
    packed = numcodecs.Pickle().encode(np.array([Hostile()], dtype=object))
    folder = tmp_path / "cells.zarr" / place
    if place in group:
        del group[place]
    folder.mkdir(parents=True)
    packing = {"id": "pickle", "protocol": 5}
    described = {"chunks": [1], "shape": [1], "dtype": "<f4", "order": "C", "zarr_format": 2, "fill_value": 0}
    packed_by = {"filters": None, "compressor": None} | {slot: [packing] if slot == "filters" else packing}
    (folder / ".zarray").write_text(json.dumps(described | packed_by))
    (folder / ".zattrs").write_text(json.dumps({"encoding-type": "string-array", "encoding-version": "0.2.0"}))
    (folder / "0").write_bytes(packed)
    with pytest.raises(ValueError, match="packs .* as Python objects|is damaged or no AnnData"):
        read_backed(tmp_path / "cells.zarr")


@pytest.mark.parametrize("damage", ["cut", "noise", "head only"])
def test_a_damaged_h5ad_is_named(damage, tmp_path):
    path = tmp_path / "cells.h5ad"
    make_cells().write_h5ad(path)
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[: len(content) // 2], "noise": os.urandom(999), "head only": content[:600]}[damage]
    )
    with pytest.raises(ValueError, match=r"cells\.h5ad' is damaged|is neither an h5ad file nor a zarr store"):
        read_backed(path)


@pytest.mark.filterwarnings("ignore")  # not only where warnings are errors
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda file: (
                file["obs"].move("type", "old") or file["obs"].create_dataset("type", data=np.void(b"\x80\x04."))
            ),
            id="opaque",
        ),
        pytest.param(lambda file: file["uns"].attrs.update({"encoding-type": "pickle"}), id="unknown encoding"),
        pytest.param(lambda file: file["obs"].attrs.update({"_index": "nowhere"}), id="no index"),
        pytest.param(lambda file: file["X"].attrs.update({"shape": [5, 3]}), id="other shape"),
        pytest.param(
            lambda file: file["X/indptr"].write_direct(np.arange(121, dtype=np.int32)[::-1].copy()), id="indptr"
        ),
    ],
)
def test_an_h5ad_of_wrong_types_is_an_error(change, tmp_path):
    path = tmp_path / "cells.h5ad"
    make_cells().write_h5ad(path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=r"cells\.h5ad' is damaged"):
        read_backed(path)


@pytest.mark.parametrize("gene", [-1, 20, 2**31 - 1])
def test_entries_outside_of_the_matrix_are_not_read(gene, tmp_path):
    path = tmp_path / "cells.h5ad"
    make_cells().write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["X/indices"][5] = gene
    adata = read_backed(path)
    with pytest.raises(ValueError, match="The matrix on disk is damaged: it names genes beyond its 20"):
        scgauge.metrics.gene_marginals(adata.X)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x93\x00", "is no text"), (b"name only\n", "has 1 fields"), (b"", "None of the 0 gene sets")],
)
def test_a_file_of_gene_sets_that_is_none(content, message, tmp_path):
    (tmp_path / "sets.gmt").write_bytes(content)
    adata = make_cells()
    with pytest.raises(ValueError, match=message):
        scgauge.pp.gene_set_mask(adata, gene_sets=tmp_path / "sets.gmt")
    assert not adata.varm


def test_a_bit_that_flips_in_the_state_of_a_run_is_seen(tmp_path):
    path = tmp_path / "run.ckpt"
    train(start("CountVI"), "CountVI", path, epochs=1)
    content = path.read_bytes()
    weights = content.index(np.float32(first_weight(path)).tobytes())
    path.write_bytes(content[:weights] + bytes([content[weights] ^ 1]) + content[weights + 1 :])
    torch.load(path, weights_only=True)  # which sees nothing
    model = start("CountVI")
    with pytest.raises(ValueError, match=r"run\.ckpt is damaged or no state of a run of scgauge \(.*data/"):
        train(model, "CountVI", path, epochs=1)
    assert not model.is_trained


def first_weight(path):
    state = torch.load(path, weights_only=True)["state_dict"]
    return state[next(name for name in state if name.endswith("weight"))].flatten()[0]


# What saved models hold.


def pickled_globals(path):
    """Classes and functions that reading a file of torch looks up."""
    with zipfile.ZipFile(path) as file:
        name = next(name for name in file.namelist() if name.endswith("data.pkl"))
        operations = list(pickletools.genops(file.read(name)))
    assert "STACK_GLOBAL" not in {operation.name for operation, _, _ in operations}
    found = {argument.replace(" ", ".") for operation, argument, _ in operations if operation.name == "GLOBAL"}
    # How torch spells the type of a tensor.
    return {name for name in found if not re.fullmatch(r"torch\.\w+Storage", name)}


@pytest.fixture(scope="module")
def of_scvi_tools(tmp_path_factory):
    """What scvi-tools' own models bring along."""
    found = set()
    for kind in (scvi.model.SCVI, scvi.model.LinearSCVI):
        folder = tmp_path_factory.mktemp("theirs") / kind.__name__
        fit(kind, make_cells(), setup={"batch_key": "batch"}, epochs=1).save(str(folder))
        found |= pickled_globals(folder / "model.pt")
        assert foreign_names(folder / "model.pt") == set()
    return found


@pytest.mark.parametrize("name", list(RECIPES))
def test_saved_models_hold_what_scvi_tools_pickles_and_no_more(name, of_scvi_tools, tmp_path):
    model = trained(name)
    for getter in ("get_latent_density", "get_log_partition"):  # they keep what they have found
        if hasattr(model, getter):
            getattr(model, getter)(**RECIPES[name].getters.get(getter, {}))
    model.save(tmp_path / "model")
    assert pickled_globals(tmp_path / "model" / "model.pt") - of_scvi_tools == set()
    assert foreign_names(tmp_path / "model" / "model.pt") == set()


def test_the_audit_sees_a_foreign_object(of_scvi_tools, tmp_path):
    model = fit(scgauge.model.CountVI, make_cells(), setup={}, epochs=1)
    model.more_ = anndata.AnnData(np.ones((2, 2)))
    model.save(tmp_path / "model")
    assert any(
        found.startswith("anndata") for found in pickled_globals(tmp_path / "model" / "model.pt") - of_scvi_tools
    )


@pytest.fixture(scope="module")
def saved_cells_and_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    cells = make_cells()
    fit(scgauge.model.CountVI, cells, setup={}, epochs=1).save(folder / "model")
    cells.write_h5ad(folder / "cells.h5ad")
    return folder


def with_hostile_object(path):
    torch.save(torch.load(path, weights_only=False) | {"more": Hostile()}, path)


def with_a_computed_name(path):
    torch.save(torch.load(path, weights_only=False) | {"more": Hostile()}, path, pickle_protocol=4)


def with_a_second_pickle(path):
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/DATA.PKL", pickle.dumps(Hostile()))


def behind_a_bare_pickle(path):
    path.write_bytes(pickle.dumps(Hostile(), protocol=2) + path.read_bytes())


def cut(path):
    path.write_bytes(path.read_bytes()[:-999])


def call_the_command(folder):
    return CliRunner().invoke(app, ["sample", "model", str(folder / "cells.h5ad"), "--n", "5", "--out", "new.h5ad"])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (with_hostile_object, "names posix.system, which could run anything, and was not read"),
        (with_a_computed_name, "names a name by STACK_GLOBAL, which could run anything, and was not read"),
        (with_a_second_pickle, "is damaged or no saved model"),
        (behind_a_bare_pickle, "is damaged or no saved model (no archive of torch)"),
        (cut, "is damaged or no saved model"),
    ],
)
def test_commands_read_no_model_that_could_run_something(harm, message, saved_cells_and_model, tmp_path):
    shutil.copytree(saved_cells_and_model / "model", tmp_path / "model")
    assert call_the_command(saved_cells_and_model).exit_code == 0
    (tmp_path / "new.h5ad").unlink()
    harm(tmp_path / "model" / "model.pt")
    result = call_the_command(saved_cells_and_model)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "new.h5ad").exists()


@pytest.mark.parametrize("harm", [with_hostile_object, with_a_computed_name, behind_a_bare_pickle])
def test_these_models_would_run_something(harm, saved_cells_and_model, tmp_path):
    path = shutil.copy(saved_cells_and_model / "model" / "model.pt", tmp_path)
    harm(Path(path))
    with suppress(RuntimeError):  # once it has run
        torch.load(path, weights_only=False)
    (tmp_path / "hostile").unlink()
