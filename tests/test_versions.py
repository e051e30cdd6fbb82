"""One file knows versions of scvi-tools and its private names."""

import re
from pathlib import Path

import pytest

import scgauge

ROOT = Path(scgauge.__file__).parent
COMPAT = ROOT / "_core" / "compat.py"
#: A branch on a version, and a private module or name of scvi-tools.
KNOWS = {
    "a version of scvi-tools": re.compile(r"scvi\.__version__|\bSCVI_VERSION\b|\bPLAN_TAKES_FUSED\s*="),
    "a version of Python": re.compile(r"\bsys\.version_info\b|\bplatform\.python_version_tuple\b"),
    "a parsed version": re.compile(r"packaging(\.version)? import|\bVersion\(|parse_version|LooseVersion"),
    "a private module of scvi-tools": re.compile(
        r"from scvi[\w.]*\._[\w.]* import|from scvi[\w.]* import _|import scvi[\w.]*\._"
    ),
    "a private name of scvi-tools": re.compile(r"\bscvi\.(\w+\.)*_[a-z]\w*"),
}  # fmt: skip


@pytest.mark.parametrize("knowledge", KNOWS)
def test_only_compat_knows(knowledge):
    found = {
        str(path.relative_to(ROOT)): line.strip()
        for path in sorted(ROOT.rglob("*.py"))
        if path != COMPAT
        for line in path.read_text().splitlines()
        if KNOWS[knowledge].search(line)
    }
    assert found == {}


def test_compat_itself_is_found():
    text = COMPAT.read_text()
    assert [name for name, pattern in KNOWS.items() if pattern.search(text)] == [
        "a version of scvi-tools",
        "a private module of scvi-tools",
        "a private name of scvi-tools",
    ]
