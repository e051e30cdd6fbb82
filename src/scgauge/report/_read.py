from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scgauge.report._section import Section

#: Name of the element of a page that holds what was found, for scripts.
FOUND = "scgauge-found"
#: What a section says in words.
_TEXTS = ("section", "question", "answer", "sentence")
#: How a level is called.
WORDS = {"good": "Yes", "caution": "In part", "bad": "No", "unknown": "Not known"}


def found(parts: Sequence[Section]) -> str:
    """Write verdicts and numbers as JSON, which has no word for numbers that are not finite."""
    rows = [
        {
            "section": part.name,
            "question": part.title,
            "answer": WORDS[part.verdict.level],
            "sentence": part.verdict.sentence,
            "numbers": {name: value if abs(value) < float("inf") else None for name, value in part.numbers.items()},
        }
        for part in parts
    ]
    return json.dumps(rows)


class _Finder(HTMLParser):
    """Keep what a page says that was found."""

    content: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "meta" and named.get("name") == FOUND:
            self.content = named.get("content")


def read(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read the verdicts of a report, and the numbers behind them, as tables.

    Nothing is computed: the page holds them. Reports of several models, seeds or data sets can be compared so.

    Parameters
    ----------
    path
        Page that :func:`scgauge.report.write` or ``scgauge report`` wrote.

    Returns
    -------
    ``"verdicts"``: one row for each section of the page: ``section``, ``question``, ``answer`` ("Yes", "In part", "No",
    "Not known"), ``sentence``. ``"numbers"``: ``section``, ``name``, ``value`` (NaN if there is none).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no such page, or a damaged one.

    Examples
    --------
    >>> import tempfile, scgauge
    >>> adata = scgauge.datasets.simulate_counts(200, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, train_size=0.7, enable_progress_bar=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tables = scgauge.report.read(scgauge.report.write(adata, model, f"{folder}/card.html", progress=False))
    >>> tables["verdicts"]["section"].tolist()
    ['training', 'synthetic', 'memory', 'embedding', 'explanation']
    """
    rows = read_rows(path)
    numbers = [
        (row["section"], name, float("nan") if value is None else float(value))
        for row in rows
        for name, value in row["numbers"].items()
    ]
    verdicts = [{name: row[name] for name in _TEXTS} for row in rows]
    return {
        "verdicts": pd.DataFrame(verdicts, columns=list(_TEXTS)),
        "numbers": pd.DataFrame(numbers, columns=["section", "name", "value"]),
    }


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return what a page holds for scripts.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no such page, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        message = f"Found no file {str(path)!r}; name a page that scgauge.report.write wrote."
        raise FileNotFoundError(message)
    finder = _Finder()
    finder.feed(path.read_text(encoding="utf-8", errors="replace"))
    if finder.content is None:
        message = f"{str(path)!r} holds no verdicts; name a page that scgauge.report.write of this version wrote."
        raise ValueError(message)
    try:
        rows = json.loads(finder.content)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        message = f"The verdicts in {str(path)!r} are damaged; write the page again with scgauge.report.write."
        raise ValueError(message)
    return rows


def _is_row(row: Any) -> bool:
    """Whether this is what `found` writes of a section."""
    if not isinstance(row, dict) or set(row) != {*_TEXTS, "numbers"} or not isinstance(row["numbers"], dict):
        return False
    numbers = row["numbers"].values()
    return all(isinstance(row[name], str) for name in _TEXTS) and all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308)
        for value in numbers
    )
