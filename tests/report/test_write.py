"""The report: sections, verdicts, self-contained page, models of others, and what happens with bad input."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import scvi
from cells import train_quietly
from report.page import Page
from scipy.stats import spearmanr

from scgauge.datasets import simulate_counts, simulate_time_series
from scgauge.model import ODEVI, CountVI, LinearVI
from scgauge.report import _section, _verdicts, read, write
from scgauge.report._subject import subject_of
from scgauge.report.sections import _explanation
from scgauge.tl import attribute
from scgauge.tl._gene_scores import importance

SECTIONS = ["training", "synthetic", "memory", "embedding", "explanation"]


def cells(n_obs=320):
    adata = simulate_counts(n_obs, 20, rng=0)
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(n_obs, 5))
    return adata


def trained(kind, adata, **arguments):
    scvi.settings.seed = 0
    kind.setup_anndata(adata)
    return train_quietly(kind(adata, n_latent=3, n_hidden=16), **({"train_size": 0.7, "max_epochs": 3} | arguments))


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Coarse figures are drawn faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_section, "_DPI", 40)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page, the model and the cells behind it, and a copy of the cells from before."""
    adata = cells()
    model = trained(CountVI, adata)
    before = adata.copy()
    path = tmp_path_factory.mktemp("report") / "card.html"
    assert write(adata, model, path, labels_key="group", progress=False) == path
    return path, model, adata, before


def test_every_section_is_there_and_has_been_made(made):
    page = Page(made[0])
    assert [attributes.get("id") for attributes in page.all("section")] == [*SECTIONS, "settings"]
    assert "not checked" not in page.text


def test_verdicts_come_first_and_lead_to_their_evidence(made):
    text = made[0].read_text(encoding="utf-8")
    assert text.index('id="verdicts"') < text.index("<main>")
    links = re.findall(r'href="#(\w+)"', text[: text.index("<main>")])
    assert links == SECTIONS


def test_the_page_needs_no_other_file_and_no_network(made):
    page = Page(made[0])
    assert page.all("script") == page.all("link") == []
    for _, attributes in page.elements:
        assert all(attributes[name].startswith(("data:", "#")) for name in ("src", "href") if name in attributes)
    assert not re.search(r"url\(|@import", made[0].read_text(encoding="utf-8"))


def test_images_have_a_size_and_a_text(made):
    images = Page(made[0]).all("img")
    assert len(images) >= 6
    for image in images:
        assert int(image["width"]) > 200
        assert int(image["height"]) > 100
        assert len(image["alt"].split()) >= 5


def test_the_numbers_are_those_of_the_functions(made):
    path, model, adata, _ = made
    text = " ".join(Page(path).text.split())
    # The ELBO is an average over draws of the latent point.
    shown = re.search(r"ELBO per cell, held out\s*\u2212([\d.]+) nats", text)
    held_out = [float(model.get_elbo(indices=model.validation_indices)) for _ in range(5)]
    assert abs(float(shown[1]) + np.mean(held_out)) < 0.1 + 6 * np.std(held_out)
    assert f"{adata.n_obs} cells, 20 genes" in text


def test_what_was_found_can_be_read_from_the_page(made):
    tables = read(made[0])
    text = " ".join(Page(made[0]).text.split())
    assert tables["verdicts"]["section"].tolist() == SECTIONS
    for row in tables["verdicts"].itertuples():
        assert f"{row.answer} {row.question}{row.sentence}" in text
    numbers = tables["numbers"].set_index(["section", "name"])["value"]
    shown = re.search(r"ELBO per cell, held out\s*\u2212([\d.]+) nats", text)
    assert -numbers["training", "elbo_held_out"] == pytest.approx(float(shown[1]), abs=0.051)
    assert numbers["training", "n_epochs"] == 3


def test_attributions_are_compared_with_another_explanation(made):
    numbers = read(made[0])["numbers"].set_index(["section", "name"])["value"]["explanation"]
    # The first 2 of 20 genes.
    assert numbers["agreement_chance"] == 0.1
    assert numbers["agreement_overlap"] in {0, 0.5, 1}
    text = " ".join(Page(made[0]).text.split())
    assert "First 2 genes in common" in text
    assert f"{numbers['agreement_overlap']:.2f}0.10{numbers['agreement_rank_correlation']:.2f}" in text


def test_the_second_explanation_of_a_linear_decoder_are_its_loadings():
    adata = cells(200)
    model = trained(LinearVI, adata, max_epochs=10)
    truth = adata.varm["loadings"].copy()
    subject = subject_of(adata, model, labels_key=None, basis=None, seed=0, n_cells=5000, progress=False)
    explained = adata.copy()
    attribute(explained, model, rng=0, progress=False)
    table, numbers = _explanation._agreement(subject, explained)
    assert table.rows[0][0] == "loadings of the decoder"
    read_genes = importance(pd.DataFrame(explained.varm["ig"]))
    written = importance(model.get_loadings().abs())
    expected = spearmanr(read_genes, written).statistic
    assert numbers["agreement_rank_correlation"] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(adata.varm["loadings"], truth)


def test_other_files_hold_no_verdicts(tmp_path):
    with pytest.raises(FileNotFoundError, match="Found no file"):
        read(tmp_path / "absent.html")
    (tmp_path / "other.html").write_text("<html><meta name='generator' content='x'></html>")
    with pytest.raises(ValueError, match="holds no verdicts"):
        read(tmp_path / "other.html")


def test_cells_and_model_are_not_changed(made):
    _, model, adata, before = made
    for slot in ("obs", "obsm", "varm", "uns", "layers"):
        assert list(getattr(adata, slot)) == list(getattr(before, slot))
    assert model.adata is adata


@pytest.mark.slow
def test_the_same_seed_writes_the_same_page(made, tmp_path):
    path, model, adata, _ = made
    write(adata, model, tmp_path / "again.html", labels_key="group", progress=False)
    assert (tmp_path / "again.html").read_text() == path.read_text()


def test_a_model_of_scvi_tools_that_has_seen_all_cells(tmp_path):
    adata = cells(480)
    model = trained(scvi.model.SCVI, adata, train_size=1.0, validation_size=0.0, max_epochs=2)
    page = Page(write(adata, model, tmp_path / "scvi.html", progress=False))
    text = " ".join(page.text.split())
    assert "All cells were used for training" in text
    assert "The loss of held-out cells was not recorded in training" in text
    assert "not checked" not in text
    assert "UMAP" in text  # its own picture, since the cells have none with two columns


def test_a_time_series_has_a_section_of_its_own(tmp_path):
    adata = simulate_time_series(400, 20, times=(0, 1, 2), rng=0)
    scvi.settings.seed = 0
    ODEVI.setup_anndata(adata, time_key="time")
    model = ODEVI(adata, n_latent=2)
    train_quietly(model, max_epochs=2, plan_kwargs={"n_flow_steps": 5}, train_size=0.7)
    page = Page(write(adata, model, tmp_path / "time.html", progress=False))
    assert "time" in [attributes.get("id") for attributes in page.all("section")]
    assert "Cells carried there" in page.text


def test_a_check_that_cannot_be_made_is_named(made, tmp_path, monkeypatch):
    _, model, adata, _ = made
    from scgauge.report import sections

    def refuse(*_, **__):
        message = "this model draws no cells."
        raise TypeError(message)

    monkeypatch.setattr(sections, "drawn_cells", refuse)
    text = " ".join(Page(write(adata, model, tmp_path / "part.html", progress=False)).text.split())
    assert "Synthetic: not checked" in text
    assert "This could not be checked: this model draws no cells." in text
    assert "no synthetic cells were drawn" in text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels_key": "absent"}, KeyError, "Did not find labels_key='absent'"),
        ({"basis": "X_absent"}, KeyError, "Did not find basis='X_absent'"),
        ({"basis": "X_line"}, ValueError, "has one dimension"),
        ({"n_cells": 5}, ValueError, "at least 20 are needed"),
    ],
)
def test_bad_arguments_write_nothing(made, tmp_path, arguments, error, message):
    _, model, adata, _ = made
    adata = adata.copy()
    adata.obsm["X_line"] = np.zeros((adata.n_obs, 1))
    with pytest.raises(error, match=message):
        write(adata, model, tmp_path / "no.html", progress=False, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_other_cells_and_untrained_models_are_refused(made, tmp_path):
    _, model, adata, _ = made
    with pytest.raises(ValueError, match="both need the same cells in the same order"):
        write(adata[::-1].copy(), model, tmp_path / "no.html")
    with pytest.raises(TypeError, match="AnnData"):
        write(adata.X, model, tmp_path / "no.html")
    with pytest.raises(FileExistsError, match="name a file"):
        write(adata, model, tmp_path)
    CountVI.setup_anndata(adata := cells())
    with pytest.raises(RuntimeError, match="not trained"):
        write(adata, CountVI(adata), tmp_path / "no.html")
    with pytest.raises(TypeError, match="cannot be read"):
        write(adata, object(), tmp_path / "no.html")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_a_fault(made, tmp_path, width):
    """Every image has arrived, nothing is wider than the window, and the console is empty."""
    probe = (
        "<script>addEventListener('load', () => document.title = JSON.stringify(["
        "[...document.images].every(i => i.naturalWidth > 0), "
        "document.documentElement.scrollWidth - document.documentElement.clientWidth, "
        "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length]))</script></head>"
    )
    page = tmp_path / "probe.html"
    page.write_text(made[0].read_text(encoding="utf-8").replace("</head>", probe), encoding="utf-8")
    run = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr",
            "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},2000", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    assert "<title>[true,0,0]</title>" in run.stdout
    assert "CONSOLE" not in run.stderr


def test_thresholds_are_in_order():
    assert _verdicts.SCOREBOARD[0] < _verdicts.SCOREBOARD[1]
    assert _verdicts.EMBEDDING[0] > _verdicts.EMBEDDING[1]
