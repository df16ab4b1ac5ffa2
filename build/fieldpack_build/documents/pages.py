"""What every reader returns, and the builder that puts a page's text and blocks together.

Knows nothing of formats, files or tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from fieldpack.language import PLAIN

# What no reader may let through: control characters but tab and newline, the byte order mark,
# non-characters, halves of surrogate pairs (which sqlite and JSON refuse).
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufeff\ufffe\uffff\ud800-\udfff]")
# What terminals make of text: a letter struck over another one, as in manual pages, and colours.
_STRUCK_OVER = re.compile("[^\n\x08]\x08")
_ESCAPES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c]")
_BOXES = re.compile("[\u2610-\u2612]")  # to tick, empty and ticked
_LABEL_LIMIT = 160  # characters; a longer "heading" is a paragraph in a heading's style


# Takes how far a reader is, often and cheaply: 12, 340, "page" after the twelfth of 340 pages.
OnProgress = Callable[[int, int, str], None]


def say_nothing(done: int, total: int, unit: str) -> None:
    """Be an `OnProgress` that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list or table of a page.

    `start` and `end` are character offsets into the text of its page. `heading` is the path of
    headings above it, outermost first. A table's first line is its header row.
    """

    kind: Literal["text", "table"]
    start: int
    end: int
    heading: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text with its blocks.

    `number` counts from 1; None where the format has no pages. Headings stand in `text`, outside of
    all blocks.
    """

    number: int | None
    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the library, as it was read.

    `path` is the posix path below the library's folder, `sha256` that of the file's bytes. `date`
    is what the text or the file says of itself (`readers.date_of`), as YYYY-MM-DD; `warnings` say on
    one line each what of it was not read; `language`: as `fieldpack.language` has it.
    """

    path: str
    title: str
    sha256: str
    pages: tuple[Page, ...]
    date: str | None = None
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    language: str = PLAIN


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that could not be read, and why, on one line that names it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a reader makes of a file's bytes. An empty `title` means that the file states none.

    `date` as YYYY-MM-DD, from the file's own words and never from the file system, which knows when
    it was copied.
    """

    title: str
    pages: tuple[Page, ...]
    date: str | None = None
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Return text with line ends as `\\n`.

    Control characters, byte order marks and lone surrogates are gone.
    """
    if "\x08" in text:
        text = _STRUCK_OVER.sub("", text)
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))


def squeeze(text: str) -> str:
    """Return text on one line, each run of white space as one space."""
    return " ".join(text.split())


def label(text: str) -> str:
    """Return a heading or title on one line, cut so that it leaves room for the passage itself."""
    line = squeeze(clean(text))
    return line if len(line) <= _LABEL_LIMIT else line[: _LABEL_LIMIT - 1].rstrip() + "…"


class HeadingPath:
    """The headings that are open at a point of a document.

    A new one closes those of its level and below.
    """

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, text: str) -> None:
        """Open a heading of `level`, which counts from 1; 0 is the document's title."""
        self.close(level)
        self._open.append((level, label(text)))

    def close(self, level: int) -> None:
        """End the headings of `level` and below without a new one."""
        self._open = [entry for entry in self._open if entry[0] < level]

    @property
    def path(self) -> tuple[str, ...]:
        """Return the texts of the open headings, outermost first."""
        return tuple(text for _, text in self._open if text)


class PageBuilder:
    """Collects headings, paragraphs and tables of a page in reading order.

    A blank line stands between any two.
    """

    def __init__(self, path: HeadingPath) -> None:
        self._path = path
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []

    def heading(self, level: int, text: str) -> None:
        """Add a heading: what comes next stands under it."""
        self._path.enter(level, text)
        self._append(clean(text).strip())

    def under(self, level: int, text: str) -> None:
        """Let what comes next stand under `text` as under a heading, which is itself not added."""
        self._path.enter(level, text)

    def close(self, level: int) -> None:
        """End the headings of `level` and below: what comes next stands under them no longer."""
        self._path.close(level)

    def text(self, text: str) -> None:
        """Add a paragraph or list; nothing if it is blank."""
        self._block("text", clean(text).strip("\n").rstrip())

    def aside(self, text: str) -> None:
        """Add what is on the page and in no block: running headers, page numbers."""
        self._append(clean(text).strip())

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Add rows of cells as lines "a | b | c"; a table of one row or one column is text. One whose
        first rows are a form's and no head is text, too, of lines "a: b; c"."""
        filled = filter(any, ([squeeze(clean(cell)) for cell in row] for row in rows))
        top = list(islice(filled, 2))
        is_form = len(top) > 1 and _is_form(top)
        lines: list[str] = []
        has_columns = False
        for cells in chain(top, filled):
            has_columns = has_columns or len(cells) > 1
            lines.append(_form_line(cells) if is_form else " | ".join(cells).strip())
        is_table = len(lines) > 1 and has_columns and not is_form
        self._block("table" if is_table else "text", "\n".join(lines))

    def page(self, number: int | None = None) -> Page:
        """Return the page.

        One with nothing but headings, such as the slide before a chapter, has them as its text.
        """
        text = "".join(self._parts)
        blocks = tuple(self._blocks) or ((Block("text", 0, len(text), ()),) if text else ())
        return Page(number, text, blocks)

    def _block(self, kind: Literal["text", "table"], text: str) -> None:
        if not text.strip():
            return
        start = self._append(text)
        self._blocks.append(Block(kind, start, self._length, self._path.path))

    def _append(self, text: str) -> int:
        if text and self._parts:
            self._parts.append("\n\n")
            self._length += 2
        start = self._length
        if text:
            self._parts.append(text)
            self._length += len(text)
        return start


def _is_form(top: Sequence[Sequence[str]]) -> bool:
    """Whether the first two rows of a table are a form's: boxes to tick, or names of fields beside
    their values ("Date: | 3 May"). "Assets: | 2024 | 2023" above figures is a head."""

    def names_field(row: Sequence[str]) -> bool:
        name, value = [*row, "", ""][:2]
        return name.endswith(":") and value != "" and not value.endswith(":")

    return any(map(_BOXES.search, top[0])) or all(map(names_field, top))


def _form_line(cells: Sequence[str]) -> str:
    """A row of a form as words: "Date: 3 May; Time: 04:50"."""
    name, *values = filter(None, cells)
    line = f"{name.removesuffix(':')}:" if values else name
    for value in values:
        line += f" {value}" if line.endswith(":") else f"; {value}"
    return line
