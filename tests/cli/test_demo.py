"""The command line: what it writes, what it says, and how it fails."""

import logging
import re
import subprocess
import sys
import warnings
from importlib.metadata import version

import anndata as ad
import numpy as np
import pytest
from cells import make_cells
from scipy import sparse
from typer.testing import CliRunner

from scgauge.cli import app
from scgauge.report import _demo, _figures


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_figures, "DPI", 30)
    # A terminal of fixed width without colours.
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path):
    """A file with counts in a layer and their logarithm in X."""
    adata = make_cells()
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "mine.h5ad")
    return tmp_path / "mine.h5ad"


def check_fault(result, message):
    """One line that starts with "Error", exit code 1, no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr)
    assert not result.stderr.startswith('Error: "')  # as a KeyError writes it


class Records(logging.Handler):
    """Keeps the messages of loggers."""

    def __init__(self, *names):
        super().__init__()
        self.messages, self.loggers = [], [logging.getLogger(name) for name in names]

    def emit(self, record):
        self.messages.append(record.getMessage())

    def __enter__(self):
        for logger in self.loggers:
            logger.addHandler(self)
        return self

    def __exit__(self, *_):
        for logger in self.loggers:
            logger.removeHandler(self)


def test_the_default_demo(run, tmp_path, capfd):
    """As `scgauge demo` does it, with fewer epochs."""
    with Records("lightning.pytorch", "lightning.fabric", "scvi") as records, warnings.catch_warnings():
        # Each warning, of every kind, would be a line.
        warnings.simplefilter("always")
        result = run("demo", "--max-epochs", 2, "--no-report")
    assert result.exit_code == 0, result.output
    page = tmp_path / "scgauge-demo" / "index.html"
    assert [path.name for path in tmp_path.iterdir()] == ["scgauge-demo"]
    text = page.read_text(encoding="utf-8")
    assert "700 cells with 765 genes from human blood" in text
    assert "adata = scgauge.datasets.pbmc68k_counts()" in text
    assert ad.read_h5ad(page.parent / "synthetic.h5ad").shape == (700, 765)
    assert "cell_type" in ad.read_h5ad(page.parent / "adata.h5ad").obs

    # It tells what it does and where the page is, and no other package says anything.
    assert records.messages == []
    said = result.output + "".join(capfd.readouterr())
    lines = [line for line in re.split(r"[\r\n]+", said) if line.strip()]
    steps = [line for line in lines if not re.match(r"(Training|Epoch \d/\d):", line)]
    assert [step.split()[0] for step in steps] == ["Training", "Held-out", "Drawing", "Fitting", "Open"]
    assert steps[-1] == f"Open {page}"
    assert len(steps) < len(lines)  # the bar


def test_cells_of_the_user(run, file, tmp_path):
    result = run(
        *(
            "demo",
            "--no-report",
            "--data",
            file,
            "--layer",
            "raw",
            "--labels",
            "type",
            "--batch",
            "batch",
            "--out",
            "there",
        ),
        *("--max-epochs", 1, "--n-latent", 2, "--likelihood", "poisson", "--seed", 7),
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "there" / "index.html").read_text(encoding="utf-8")
    assert "120 cells with 20 genes from mine.h5ad." in text
    assert ad.read_h5ad(tmp_path / "there" / "adata.h5ad").uns["scgauge_demo"]["params"] == {
        **{"layer": "raw", "labels_key": "type", "batch_key": "batch"},
        **{"max_epochs": 1, "n_latent": 2, "gene_likelihood": "poisson", "seed": 7},
    }


def test_warnings_are_one_line(run, tmp_path):
    adata = make_cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(20) != 5))
    adata.write_h5ad(tmp_path / "mine.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = run("demo", "--no-report", "--data", "mine.h5ad", "--max-epochs", 1)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Warning: 1 of 20 genes have no count in any cell")


def test_open_shows_the_page(run, file, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    arguments = ("demo", "--no-report", "--data", file, "--layer", "raw", "--max-epochs", 1)
    assert run(*arguments).exit_code == 0
    assert opened == []
    assert run(*arguments, "--open").exit_code == 0
    assert opened == [(file.parent / "scgauge-demo" / "index.html").as_uri()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--data", "nowhere.h5ad"), "Found no file 'nowhere.h5ad'", id="no-file"),
        pytest.param(("--data", "text.h5ad"), "'text.h5ad' is not an HDF5 file", id="text"),
        pytest.param(("--data", "mine.h5ad"), r"non-integer entries.*pass layer='raw' \(--layer raw\)", id="no-counts"),
        pytest.param(("--data", "mine.h5ad", "--layer", "row"), "Did not find the layer 'row'", id="no-layer"),
        pytest.param(("--data", "mine.h5ad", "--labels", "kind"), "Did not find labels_key='kind'", id="no-labels"),
        pytest.param(("--labels", "kind"), "Did not find labels_key='kind'", id="no-labels-of-the-blood-cells"),
        pytest.param(("--data", "few.h5ad"), "Found 5 cells; at least 20 are needed", id="few"),
        pytest.param(("--out", "text.h5ad"), "'text.h5ad' is a file; a folder is needed", id="out-is-a-file"),
    ],
)
def test_bad_input_is_told_in_one_line(run, file, tmp_path, arguments, message):
    (tmp_path / "text.h5ad").write_text("no cells")
    make_cells(n_obs=5).write_h5ad(tmp_path / "few.h5ad")
    check_fault(run("demo", *arguments), message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.h5ad", "mine.h5ad", "text.h5ad"]


@pytest.mark.parametrize(
    "arguments", [("--max-epochs", "0"), ("--n-latent", "0"), ("--likelihood", "normal"), ("--seed", "-1"), ("--what",)]
)
def test_a_wrong_option_is_a_usage_error(run, arguments):
    result = run("demo", *arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_a_fault_of_ours_is_not_hidden(run, file, monkeypatch):
    def fail(*_):
        message = "a bug"
        raise ValueError(message)

    monkeypatch.setattr(_demo, "joint_umap", fail)
    result = run("demo", "--no-report", "--data", file, "--layer", "raw", "--max-epochs", 1)
    assert isinstance(result.exception, ValueError)


def test_help_names_every_option(run):
    text = run("demo", "--help").stdout
    options = ["data", "labels", "layer", "batch", "out", "max-epochs", "n-latent", "likelihood", "seed", "open"]
    assert [option for option in options if f"--{option}" not in text] == []
    assert "demo" in run("--help").stdout
    assert run().exit_code == 2


def test_python_dash_m():
    command = [sys.executable, "-m", "scgauge", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert result.stdout == f"scgauge {version('scgauge')}\n"
