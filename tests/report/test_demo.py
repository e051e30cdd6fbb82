"""The folder that a demo writes: files, page, notes, and nothing left behind."""

import logging
import re
import struct
import sys
import warnings

import anndata as ad
import numpy as np
import pytest
import scvi
import torch
from cells import make_cells
from report.page import Page

from scgauge.model import CountVI
from scgauge.report import _demo, _figures, _fit, open_cells, run_demo, write_demo
from scgauge.report._figures import joint_umap

FILES = ["adata.h5ad", "index.html", "marginals.png", "synthetic.h5ad", "training.png", "umap.png"]
QUICK = {"max_epochs": 3, "n_latent": 3, "progress": False, "report": False}


def with_layer():
    """Cells whose counts stand in a layer, with annotation of their own."""
    adata = make_cells()
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X.log1p()
    adata.obsm["X_umap"] = np.zeros((adata.n_obs, 2))
    adata.uns["mine"] = {"kept": True}
    return adata


@pytest.fixture
def coarse(monkeypatch):
    """Coarse figures are drawn faster."""
    monkeypatch.setattr(_figures, "DPI", 30)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a demo, the cells it was made from, and a copy of them from before."""
    adata = with_layer()
    before = adata.copy()
    out = tmp_path_factory.mktemp("demo") / "new" / "folder"
    page = run_demo(adata, out=out, layer="raw", labels_key="type", batch_key="batch", **QUICK)
    return page, adata, before


def png_size(path):
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


def test_the_folder_holds_these_files_and_no_others(made):
    page, _, _ = made
    assert page.name == "index.html"
    assert sorted(path.name for path in page.parent.iterdir()) == FILES


def test_the_page_shows_three_figures_that_exist(made):
    page, _, _ = made
    images = Page(page).all("img")
    assert [image["src"] for image in images] == ["training.png", "umap.png", "marginals.png"]
    for image in images:
        width, height = png_size(page.parent / image["src"])
        # 200 dots per inch: at least 5 inches wide.
        assert width > 1000
        assert height > 500
        assert len(image["alt"].split()) > 10


def test_the_page_loads_nothing_from_elsewhere(made):
    page, _, _ = made
    content = Page(page)
    for _, attributes in content.elements:
        for name in ("src", "href", "data", "action"):
            if name in attributes:
                assert attributes[name] in FILES
    assert content.all("script") == []
    assert not re.search(r"https?:|url\(|@import", page.read_text(encoding="utf-8"))


def test_the_page_can_be_read_by_everyone(made):
    content = Page(made[0])
    assert content.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in content.all("meta")
    assert len(content.all("h1")) == 1
    assert len(content.all("figcaption")) == 3
    assert all(attributes.get("scope") in {"row", "col"} for attributes in content.all("th"))


def test_the_page_names_data_model_and_versions(made):
    text = " ".join(Page(made[0]).text.split())
    for part in (
        "These are 120 cells with 20 genes.",
        "120 cells in 2 batches, 20 genes",
        "3 of at most 3 epochs",
        "likelihood nb, 3 latent dimensions",
        "Counts from adata.layers['raw'], batches from obs['batch']",
        f"scvi-tools {scvi.__version__}",
        "12 of the cells are held out",
    ):
        assert part in text, part


def test_the_cells_that_were_given_are_unchanged(made):
    _, adata, before = made
    assert set(adata.obs) == set(before.obs)
    assert set(adata.uns) == {"mine"}
    assert set(adata.obsm) == {"X_umap"}
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())


def test_the_written_cells_are_those_that_were_given_and_more(made):
    page, adata, _ = made
    written = ad.read_h5ad(page.parent / "adata.h5ad")
    assert set(written.uns) == {"mine", "scgauge_demo"}
    assert set(written.obs) == set(adata.obs)
    assert set(written.var) == set(adata.var)
    assert written.obsm["X_scgauge"].shape == (120, 3)
    assert written.obsm["X_scgauge_umap"].shape == (120, 2)
    np.testing.assert_array_equal(written.obsm["X_umap"], adata.obsm["X_umap"])
    np.testing.assert_array_equal(written.layers["raw"].toarray(), adata.layers["raw"].toarray())
    for points in ("X_scgauge", "X_scgauge_umap"):
        assert np.isfinite(written.obsm[points]).all()
        assert (written.obsm[points].std(0) > 0).all()


def test_the_synthetic_cells_are_counts_of_the_same_genes(made):
    page, adata, _ = made
    synthetic = ad.read_h5ad(page.parent / "synthetic.h5ad")
    assert synthetic.shape == adata.shape
    assert list(synthetic.var_names) == list(adata.var_names)
    counts = synthetic.X.toarray()
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert counts.sum(1).min() > 0
    assert set(synthetic.obs) == {"batch", "library_size"}
    assert set(synthetic.obsm) == {"X_latent", "X_scgauge", "X_scgauge_umap"}
    assert not [key for key in (*synthetic.uns, *synthetic.obs) if key.startswith("_scvi")]


def test_the_notes_say_how_it_was_made(made):
    notes = ad.read_h5ad(made[0].parent / "adata.h5ad").uns["scgauge_demo"]
    assert notes["params"]["layer"] == "raw"
    assert notes["params"]["seed"] == 0
    assert notes["versions"]["scvi-tools"] == scvi.__version__
    assert notes["numbers"]["name"].tolist()[:3] == ["Cells and genes", "Held-out ELBO", "Counts per cell"]


def test_the_code_on_the_page_gives_the_same_numbers(made, monkeypatch):
    """The code is run as it stands, but for the figures."""
    page, adata, _ = made
    code = Page(page).text.partition("The same in Python")[2].partition("Files")[0]
    code = "\n".join(line for line in code.splitlines() if not line.startswith(("scgauge.pl", "scanpy.pl")))
    assert "setup_anndata(adata, batch_key='batch')" in code
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    names = {"adata": adata.copy()}
    with warnings.catch_warnings():
        # Chatter that a demo holds back, and user code does not.
        warnings.simplefilter("ignore")
        try:
            exec(code, names)
        finally:
            torch.set_num_threads(threads)
            torch.set_rng_state(state)
    for name in ("adata", "synthetic"):
        written = ad.read_h5ad(page.parent / f"{name}.h5ad")
        np.testing.assert_array_equal(written.obsm["X_scgauge"], names[name].obsm["X_scgauge"])
        embedded = names["both"][names["both"].obs["source"] == name.replace("adata", "real")]
        np.testing.assert_array_equal(written.obsm["X_scgauge_umap"], embedded.obsm["X_umap"])
    np.testing.assert_array_equal(written.X.toarray(), names["synthetic"].X.toarray())


@pytest.mark.usefixtures("coarse")
def test_nothing_is_said_and_no_state_changes(tmp_path, monkeypatch, capfd):
    def train(model, **arguments):
        sys.stdout.write("Signaling Trainer to stop.\n")  # as scvi-tools does when a run ends early
        CountVI.train(model, **arguments)

    monkeypatch.setattr(_fit, "CountVI", type("CountVI", (CountVI,), {"train": train}))
    filters, level = list(warnings.filters), logging.getLogger("lightning.pytorch").level
    state = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads()  # noqa: NPY002
    run_demo(make_cells(), out=tmp_path, **QUICK)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert list(warnings.filters) == filters
    assert logging.getLogger("lightning.pytorch").level == level
    assert state == (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads())  # noqa: NPY002


def test_without_labels_the_umap_has_one_panel(made, tmp_path):
    page = run_demo(make_cells(), out=tmp_path, **QUICK)
    (width, height), (_, height_of_two) = png_size(tmp_path / "umap.png"), png_size(made[0].parent / "umap.png")
    assert height < width < height_of_two
    assert "labels" not in Page(page).text


@pytest.mark.usefixtures("coarse")
def test_many_cells_are_thinned_out(tmp_path, monkeypatch):
    monkeypatch.setattr(_demo, "MOST_CELLS_SHOWN", 50)
    page = run_demo(make_cells(), out=tmp_path, labels_key="type", **QUICK)
    for name in ("adata", "synthetic"):
        points = ad.read_h5ad(tmp_path / f"{name}.h5ad").obsm["X_scgauge_umap"]
        assert np.isfinite(points).all(axis=1).sum() == 50
        assert np.isnan(points).all(axis=1).sum() == 70
    text = " ".join(Page(page).text.split())
    assert "50 real cells, drawn so that every label keeps its share, and 50 synthetic cells are shown." in text


def test_neighbours_are_found_among_many_cells(monkeypatch):
    """From 8,192 cells on scanpy finds neighbours in another way, which fails with some versions of scipy."""
    import scanpy

    def place(adata, **_):
        adata.obsm["X_umap"] = adata.X[:, :2]

    monkeypatch.setattr(scanpy.tl, "umap", place)
    points = np.random.default_rng(0).normal(size=(8400, 3)).astype(np.float32)
    real, synthetic = joint_umap(points[:4200], points[4200:], 0)
    np.testing.assert_array_equal(real, points[:4200, :2])
    np.testing.assert_array_equal(synthetic, points[4200:, :2])


@pytest.mark.usefixtures("coarse")
def test_text_of_the_user_cannot_break_the_page(tmp_path):
    adata = make_cells()
    adata.obs["<b>type & 'co'"] = adata.obs["type"]
    page = run_demo(adata, out=tmp_path, labels_key="<b>type & 'co'", **QUICK)
    assert "<b>type & 'co'" in Page(page).text
    assert "<b>type" not in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("coarse")
def test_another_likelihood(tmp_path):
    page = run_demo(make_cells(), out=tmp_path, gene_likelihood="zinb", **QUICK)
    assert "gene_likelihood='zinb'" in Page(page).text


@pytest.mark.usefixtures("coarse")
def test_twenty_cells_are_enough_and_empty_synthetic_cells_are_left_out(tmp_path):
    adata = make_cells(n_obs=20, n_vars=4)
    adata.X = (adata.X.toarray() > 0).astype(np.float32)  # libraries of 1 to 4 counts
    page = run_demo(adata, out=tmp_path, **QUICK)
    synthetic = ad.read_h5ad(tmp_path / "synthetic.h5ad")
    assert 0 < synthetic.n_obs < 20
    assert f"{20 - synthetic.n_obs} synthetic cells without a single count were left out" in Page(page).text
    assert "synthetic = synthetic[synthetic.X.sum(1) > 0].copy()" in Page(page).text
    assert synthetic.X.toarray().sum(1).min() > 0


@pytest.mark.usefixtures("coarse")
def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("old")

    def fail(*_):
        message = "no figure today"
        raise RuntimeError(message)

    monkeypatch.setattr(_demo, "save_marginals", fail)
    with pytest.raises(RuntimeError, match="no figure today"):
        run_demo(make_cells(), out=tmp_path, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "old"


def test_no_epochs(tmp_path):
    with pytest.raises(ValueError, match="max_epochs=0 was given; at least 1 is needed"):
        write_demo(open_cells(make_cells()), out=tmp_path, max_epochs=0)


def test_a_demo_ends_with_a_report(coarse, tmp_path):
    cells = open_cells(make_cells(n_obs=240), labels_key="type")
    page = write_demo(cells, out=tmp_path, **(QUICK | {"report": True}))
    assert "report.html" in [link["href"] for link in Page(page).all("a")]
    report = Page(tmp_path / "report.html")
    assert {"training", "synthetic", "memory", "embedding", "explanation"} <= {
        section.get("id") for section in report.all("section")
    }
    assert "240 cells, 20 genes" in report.text
