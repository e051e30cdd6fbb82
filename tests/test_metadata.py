"""One version, one licence and one set of links in all the files that state them."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load(read("CITATION.cff"))


def releases():
    return re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), flags=re.MULTILINE)


def test_versions_agree(project, citation):
    assert citation["version"] == project["version"]
    assert releases()[:2] == ["Unreleased", project["version"]]
    assert metadata("scgauge")["Version"] == project["version"]


def test_licences_agree(project, citation):
    assert project["license"] == "BSD-3-Clause"
    assert citation["license"] == project["license"]
    assert read("LICENSE").startswith("BSD 3-Clause License\n")
    assert "BSD-3-Clause" in read("README.md")
    assert not [line for line in project["classifiers"] if line.startswith("License ::")]


def test_the_citation_has_what_the_format_needs(project, citation):
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(citation)
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert citation["repository-code"] == project["urls"]["Source"]
    assert citation["url"] == project["urls"]["Documentation"]


def test_the_changelog_links_every_release():
    text = read("CHANGELOG.md")
    assert re.findall(r"^\[(.+?)\]: https://", text, flags=re.MULTILINE) == releases()
    headings = re.findall(r"^### (.+)", text, flags=re.MULTILINE)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(r"^### .+\n+(#|\Z)", text, flags=re.MULTILINE) is None, "an empty heading"


def test_supported_versions_of_python_agree(project):
    listed = {line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)}
    matrix = yaml.safe_load(read(".github/workflows/test.yaml"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert set(matrix) == listed
    assert project["requires-python"] == f">={min(listed, key=lambda v: int(v[2:]))}"


def test_links_to_the_documentation_name_no_version():
    for name in ("README.md", "pyproject.toml", "CITATION.cff"):
        assert re.findall(r"readthedocs\.io/en/", read(name)) == []


def test_every_cited_work_is_in_the_bibliography():
    known = set(re.findall(r"^@\w+\{(\w+),", read("docs/references.bib"), flags=re.MULTILINE))
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    roles = re.compile(r"(?::cite:\w+:|\{cite:\w+\})`([^`]+)`")
    cited = {
        key.strip() for path in sources for keys in roles.findall(path.read_text("utf-8")) for key in keys.split(",")
    }
    assert cited
    assert sorted(cited - known) == []
