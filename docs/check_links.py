"""Check the links of the built documentation without a network.

python docs/check_links.py docs/_build/html README.md

Links within the documentation need a page that exists, and the place on it that they name; so do links of the README to
pages of the documentation. Links to other sites are not followed.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

HOME = "https://scgauge.readthedocs.io/page/"


class Page(HTMLParser):
    """Names of the places on a page, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note names and links of an element."""
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.places.add(value)
            if value and name in {"href", "src"}:
                self.links.add(value)


def broken_links(build: Path, readme: Path) -> list[str]:
    """Return a line for each link to a page or place that does not exist."""
    # The theme keeps templates among its static files.
    found = (path for path in sorted(build.rglob("*.html")) if "_static" not in path.relative_to(build).parts)
    pages = {path.resolve(): Page(path) for path in found}
    links = [(path, link) for path, page in pages.items() for link in sorted(page.links)]
    for url in re.findall(rf"\]\(({re.escape(HOME)}[^)]*)\)", readme.read_text(encoding="utf-8")):
        links.append((build.resolve() / "index.html", url))
    broken = []
    for path, link in links:
        url, place = urldefrag(link.removeprefix(HOME) if link.startswith(HOME) else link)
        if urlparse(url).scheme or url.startswith("//"):
            continue
        home = build.resolve() if link.startswith(HOME) else path.parent
        target = (home / unquote(url.partition("?")[0])).resolve() if url else path
        if target.is_dir():
            target /= "index.html"
        if not target.exists():
            broken.append(f"{path.relative_to(build.resolve())}: {link} does not exist")
        elif place and target in pages and unquote(place) not in pages[target].places:
            broken.append(f"{path.relative_to(build.resolve())}: {link} names no place of that page")
    return broken


def main() -> None:
    """Check a build and leave with 1 if a link is broken."""
    found = broken_links(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in found:
        sys.stderr.write(line + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
