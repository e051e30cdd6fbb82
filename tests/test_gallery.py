"""The gallery has a picture of every plot. Its code is run when the documentation is built."""

import re
from pathlib import Path

import pytest

import scgauge

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_gallery_shows_exactly_the_plots(sections):
    assert sorted(sections) == sorted(scgauge.pl.__all__)


@pytest.mark.parametrize("name", scgauge.pl.__all__)
def test_picture_has_caption_link_and_code(name, sections):
    caption, code = re.fullmatch(
        r"\n(.+?)\n\n```\{code-cell\} ipython3\n(.+?)\n```\n.*", sections[name], flags=re.DOTALL
    ).groups()
    link = f"{{func}}`scgauge.pl.{name}`"
    assert caption.startswith(link)
    assert len(caption) > len(link) + 20
    assert f"scgauge.pl.{name}(" in code.splitlines()[-1]
    compile(code, name, "exec")
