"""Imports go down only, rooms stay small, private names of scvi-tools stay in one file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "scgauge"
FILES = sorted(SOURCE.rglob("*.py"))
LARGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 10

each_file = pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(SOURCE))) for p in FILES])


def docstring_lines(node: ast.AST) -> int:
    first = node.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0


def imported(tree: ast.AST) -> list[str]:
    """Dotted names that a file imports, relative ones without their dots."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" if node.level == 0 else alias.name for alias in node.names]
    return found


def test_imports_go_down_only():
    pytest.importorskip("importlinter", reason="import-linter is of the group 'lint'")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 kept, 0 broken" in run.stdout


@each_file
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LARGEST_FILE


@each_file
def test_functions_are_short(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    bodies = {node.name: node.end_lineno - node.lineno + 1 - docstring_lines(node) for node in functions}
    assert {name: lines for name, lines in bodies.items() if lines > LONGEST_FUNCTION} == {}


@each_file
def test_files_are_named_after_what_is_in_them(path):
    assert path.stem.strip("_") not in {"utils", "util", "helpers", "helper", "misc", "common", "tools"}


@each_file
def test_private_names_of_scvi_are_imported_in_one_file_only(path):
    names = [name.split(".") for name in imported(ast.parse(path.read_text(encoding="utf-8")))]
    private = [".".join(parts) for parts in names if parts[0] == "scvi" and any(p.startswith("_") for p in parts)]
    assert private == [] or path == SOURCE / "_core" / "compat.py"


@each_file
def test_no_file_imports_the_package_root(path):
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    assert "scgauge" not in names
    assert [name for name in names if name.startswith("scgauge.") and name.count(".") < 2 and name in ROOT_NAMES] == []


#: ``from scgauge import pl`` reads as "scgauge.pl" above, and loads the root.
ROOT_NAMES = {"scgauge.__version__", *(f"scgauge.{floor.name}" for floor in SOURCE.iterdir() if floor.is_dir())}
