"""Commands on files: train, sample, check, explain, report, one after the other as a user would run them."""

import html
import json
import re

import anndata as ad
import numpy as np
import pytest
from typer.testing import CliRunner

import scgauge
from scgauge.cli import _report, app
from scgauge.datasets import simulate_counts
from scgauge.model import CountVI
from scgauge.report import _read, _section


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Cells in a file, a model trained on them, and synthetic cells."""
    place = tmp_path_factory.mktemp("commands")
    simulate_counts(480, 20, rng=0).write_h5ad(place / "cells.h5ad")
    options = ("--max-epochs", 2, "--n-latent", 3, "--train-size", 0.7, "--json")
    trained = run("train", place / "cells.h5ad", "--out", place / "model", *options)
    assert trained.exit_code == 0, trained.output
    drawn = run(
        "sample", place / "model", place / "cells.h5ad", "--n", 250, "--out", place / "synthetic.h5ad", "--json"
    )
    assert drawn.exit_code == 0, drawn.output
    return place, json.loads(trained.stdout), json.loads(drawn.stdout)


def test_train_saves_a_model_that_python_loads(folder):
    place, result, _ = folder
    cells = ad.read_h5ad(place / "cells.h5ad")
    model = CountVI.load(str(place / "model"), cells)
    assert result["epochs"] == 2
    assert len(model.validation_indices) == 144
    elbo = [float(model.get_elbo(indices=model.validation_indices)) for _ in range(5)]
    assert abs(result["held-out ELBO per cell"] - np.mean(elbo)) < 0.1 + 6 * np.std(elbo)


def test_train_does_not_replace_a_model_unless_told(folder):
    place, _, _ = folder
    before = (place / "model" / "model.pt").read_bytes()
    refused = run("train", place / "cells.h5ad", "--out", place / "model", "--max-epochs", 1)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ")
    assert "--overwrite" in refused.stderr
    assert (place / "model" / "model.pt").read_bytes() == before


def test_sample_writes_counts_that_the_same_seed_repeats(folder, tmp_path):
    place, _, result = folder
    synthetic = ad.read_h5ad(place / "synthetic.h5ad")
    assert result == {"cells": 250, "genes": 20, "file": str(place / "synthetic.h5ad")}
    assert synthetic.shape == (250, 20)
    run("sample", place / "model", place / "cells.h5ad", "--n", 250, "--out", tmp_path / "again.h5ad", "--json")
    assert (ad.read_h5ad(tmp_path / "again.h5ad").X != synthetic.X).nnz == 0


def test_check_prints_the_scores_that_it_writes(folder, tmp_path):
    place, _, _ = folder
    out = tmp_path / "scored.h5ad"
    checked = run("check", place / "cells.h5ad", place / "synthetic.h5ad", "--out", out, "--json")
    assert checked.exit_code == 0, checked.output
    printed = json.loads(checked.stdout)
    written = ad.read_h5ad(out).uns["synthetic_quality"]
    overall = written["overall"].set_index("family")["scaled"]
    assert printed["joint"] == pytest.approx(overall["joint"])
    assert len(printed["scores"]) == len(written["scores"])


def test_check_fails_where_cells_are_worse_than_allowed(folder):
    place, _, _ = folder
    assert run("check", place / "cells.h5ad", place / "synthetic.h5ad", "--at-most", 0.0001).exit_code == 3


def test_embed_writes_pictures_and_scores_them(folder, tmp_path):
    place, _, _ = folder
    out = tmp_path / "embedded.h5ad"
    made = run(
        "embed", place / "cells.h5ad", "--methods", "pca,vae", "--model", place / "model", "--out", out, "--json"
    )
    assert made.exit_code == 0, made.output
    printed, written = json.loads(made.stdout), ad.read_h5ad(out)
    assert written.obsm["X_embed_pca"].shape == (480, 2)
    assert written.obsm["X_embed_vae"].shape == (480, 3)
    recall = written.obs["embedding_quality_X_embed_pca_recall"].mean()
    assert printed["X_embed_pca, share of 15 neighbours kept"] == pytest.approx(recall)


def test_explain_names_genes_and_writes_attributions(folder, tmp_path):
    place, _, _ = folder
    out = tmp_path / "explained.h5ad"
    explained = run("explain", place / "model", place / "cells.h5ad", "--n-genes", 3, "--out", out, "--json")
    assert explained.exit_code == 0, explained.output
    printed = json.loads(explained.stdout)
    written = ad.read_h5ad(out)
    means = written.varm["ig"]
    for position, (target, genes) in enumerate(printed.items()):
        assert list(written.var_names[np.argsort(-means[:, position])[:3]]) == genes, target


def test_report_writes_a_page_and_prints_its_answers(folder, tmp_path, monkeypatch):
    place, _, _ = folder
    monkeypatch.setattr(_section, "_DPI", 40)
    made = run("report", place / "model", place / "cells.h5ad", "--labels", "group", "--out", tmp_path / "card.html")
    assert made.exit_code == 0, made.output
    assert f"Open {tmp_path / 'card.html'}" in made.stdout
    assert "not checked" not in (tmp_path / "card.html").read_text()
    for row in scgauge.report.read(tmp_path / "card.html")["verdicts"].itertuples():
        assert re.search(rf"^{row.answer} +{re.escape(row.question)}$", made.stdout, flags=re.MULTILINE)


def test_report_prints_json_alone(folder, tmp_path, monkeypatch):
    """What it computes is another test's: here a page that exists takes its place."""
    place, _, _ = folder
    verdict = _section.Verdict("caution", "Part of it.")
    page = tmp_path / "card.html"
    part = _section.Section("memory", "Copies?", verdict, numbers={"train_share_z": 1.5, "copying_z": np.nan})
    page.write_text(f'<meta name="{_read.FOUND}" content="{html.escape(_read.found([part]))}">')
    monkeypatch.setattr(_report, "write", lambda *_, **__: page)
    made = run("report", place / "model", place / "cells.h5ad", "--json")
    assert made.exit_code == 0, made.output
    [row] = json.loads(made.stdout)
    assert row["numbers"] == {"train_share_z": 1.5, "copying_z": None}
    assert (row["answer"], row["sentence"]) == ("In part", "Part of it.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "absent.h5ad"), "Found no file 'absent.h5ad'"),
        (("train", "{cells}", "--model", "Unknown"), "Found no model class 'Unknown'"),
        (("train", "{cells}", "--layer", "absent"), "absent"),
        (("sample", "absent", "{cells}"), "Found no model in 'absent'"),
        (("sample", "{model}", "{cells}", "--out", "absent/file.h5ad"), "a folder that exists"),
        (("check", "{cells}", "{cells}", "--labels", "absent"), "Did not find groupby='absent'"),
        (("check", "{cells}", "{cells}", "--holdout", "{cells}"), "share 480 cell names"),
        (("embed", "{cells}", "--methods", "pca,wrong"), "wrong"),
        (("explain", "{model}", "{cells}", "--groupby", "absent"), "absent"),
        (("report", "{model}", "{cells}", "--labels", "absent"), "Did not find labels_key='absent'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(folder, tmp_path, monkeypatch, arguments, message):
    place, _, _ = folder
    monkeypatch.chdir(tmp_path)
    names = {"cells": place / "cells.h5ad", "model": place / "model"}
    result = run(*(argument.format(**names) for argument in arguments))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_other_genes_are_named(folder, tmp_path):
    place, _, _ = folder
    cells = ad.read_h5ad(place / "cells.h5ad")
    cells[:, :10].copy().write_h5ad(tmp_path / "few.h5ad")
    result = run("sample", place / "model", tmp_path / "few.h5ad", "--out", tmp_path / "no.h5ad")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The cells lack 10 of the 20 genes")
    assert not (tmp_path / "no.h5ad").exists()
    # More genes than the model knows, and in another order, are no obstacle.
    cells = cells[:, ::-1].copy()
    cells.write_h5ad(tmp_path / "reversed.h5ad")
    assert run("sample", place / "model", tmp_path / "reversed.h5ad", "--out", tmp_path / "yes.h5ad").exit_code == 0


def test_every_command_has_an_example():
    for command in ("train", "sample", "check", "embed", "explain", "report"):
        assert f"scgauge {command}" in " ".join(run(command, "--help").stdout.split()), command
