import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick
SCRIPT = Path(__file__).parents[1] / "docs" / "check_links.py"
HOME = "https://scgauge.readthedocs.io/page/"


@pytest.fixture
def links():
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_to_missing_pages_and_places_are_found(links, tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="a/b.html#here">b</a> <img src="none.png"> <a href="https://x.org/y">y</a>'
    )
    (tmp_path / "a").mkdir()
    page = '<p id="here"></p> <a href="#gone">g</a> <a href="../index.html">i</a> <a href="../">i</a>'
    (tmp_path / "a" / "b.html").write_text(page)
    readme = tmp_path / "README.md"
    readme.write_text(f"[good]({HOME}a/b.html#here) [bad]({HOME}a/c.html) [other](https://x.org)")
    assert links.broken_links(tmp_path, readme) == [
        "a/b.html: #gone names no place of that page",
        "index.html: none.png does not exist",
        f"index.html: {HOME}a/c.html does not exist",
    ]
