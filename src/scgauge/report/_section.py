"""What a page about a model is made of: sections with a verdict, figures, tables, and what they cannot tell."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Level = Literal["good", "caution", "bad", "unknown"]
#: Dots per inch of a figure inside a page, and of the screen for which its size is given.
_DPI, _SCREEN = 150, 96


@dataclass(frozen=True)
class Verdict:
    """What a check found, in a sentence that needs no statistics."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, its size on the page in CSS pixels, its text for those who cannot see it, its caption."""

    source: str
    width: int
    height: int
    alt: str
    caption: str

    @classmethod
    def of(cls, figure: Figure, alt: str, caption: str = "") -> Picture:
        """Draw a figure of matplotlib."""
        file = BytesIO()
        figure.savefig(file, dpi=_DPI, format="png", facecolor="white", bbox_inches="tight", pad_inches=0.08)
        png = file.getvalue()
        # Width and height stand in the first chunk of a PNG.
        width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
        source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        return cls(source, round(width * _SCREEN / _DPI), round(height * _SCREEN / _DPI), alt, caption)


@dataclass(frozen=True)
class Table:
    """Rows of text under named columns; the first cell of a row names it."""

    columns: list[str]
    rows: list[list[str]]
    caption: str = ""

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str = "") -> Table:
        """Take a frame of text."""
        return cls([str(column) for column in frame.columns], frame.astype(str).to_numpy().tolist(), caption)


@dataclass(frozen=True)
class Section:
    """One question about a model, the answer, its evidence and its limits.

    Attributes
    ----------
    name
        Anchor of the section within the page.
    title
        The question.
    verdict
        The answer.
    text
        Paragraphs.
    pictures, tables
        Evidence.
    limits
        What the check cannot tell.
    code
        Python that repeats it.
    numbers
        The numbers behind the verdict, for scripts.
    """

    name: str
    title: str
    verdict: Verdict
    text: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    code: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
