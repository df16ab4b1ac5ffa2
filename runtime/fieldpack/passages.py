"""The records that travel between the index, the prompt and the reader. Knows nothing of files or
models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from .figures import is_figure_word


def join_context(title: str, heading: tuple[str, ...]) -> str:
    """Title and heading path on one line, repeated parts once: "Fees 2025 > Discounts"."""
    return " > ".join(dict.fromkeys(part for part in (title, *heading) if part))


_NO_WORD = re.compile(r"[$€£¥()\[\]%+\-–—−|]+")


def without_figures(text: str) -> str:
    """Lines with two figures or more without them, and without the marks between cells; years stay.
    Prose with a figure stays as it is."""
    return "\n".join(
        _words_of_row(line) if any(map(str.isdigit, line)) else line for line in text.split("\n")
    )


def _words_of_row(line: str) -> str:
    words = line.split()
    figures = [is_figure_word(word) for word in words]
    if sum(figures) < 2:
        return line
    return " ".join(
        w
        for w, figure in zip(words, figures, strict=True)
        if not figure and not _NO_WORD.fullmatch(w)
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the index stores: one piece of a document, its text exactly as the reader gave it.

    `start` and `end` are character offsets into the text of its page (of the whole document where
    the format has no pages, `page` is None there; pages count from 1). `heading` is the path of
    headings above it, outermost first. `gap` is the source's text between the chunk before it on
    its page and itself (blank lines, a heading), so that neighbours can be joined into an exact
    slice of the page.
    """

    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    start: int
    end: int
    text: str
    gap: str = ""

    @property
    def context(self) -> str:
        """The title and heading path, on one line: embedded and searched with the text, not stored
        in it."""
        return join_context(self.title, self.heading)

    @property
    def in_context(self) -> str:
        """What a reader gets, and what a chunk's length is counted on: context, then text."""
        return f"{self.context}\n{self.text}"

    @property
    def embedded(self) -> str:
        """What is embedded: as `in_context`, but a table's rows without their figures, which fill
        an embedder's window with three tokens each and tell it nothing of what the row is about.
        Words find figures."""
        return f"{self.context}\n{without_figures(self.text)}"


class Place(NamedTuple):
    """Where a stored chunk stands: all that ranking needs of it. `ordinal` in its document;
    `duplicate_of`: id of the first chunk, in another document, that says the same. A tuple, as a
    question looks at hundreds."""

    id: int
    document_id: int
    document: str
    ordinal: int
    page: int | None
    duplicate_of: int | None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """As `Place`, with the chunk itself."""

    id: int
    chunk: Chunk
    duplicate_of: int | None
    document_id: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What the index knows of a document: `path` below the library's folder, `sha256` of its bytes,
    `date` as YYYY-MM-DD where the file states one."""

    path: str
    title: str
    sha256: str
    pages: int
    date: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents may answer; an empty one lets all. `documents`: paths or globs, any of them;
    `folders`: any of them, with all below; `after` and `before`: YYYY-MM-DD, inclusive, a document
    without a date is left out; `tags`: all of them."""

    documents: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    tags: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.documents or self.folders or self.after or self.before or self.tags)


@dataclass(frozen=True, slots=True)
class Passage:
    """What retrieval returns: a chunk, or neighbours joined, in rank order. `score`: vectors, words
    and names together, 0 to 1 and above where the question names the document. `similarity`: cosine
    between question and chunk, -1 to 1, the figure that a refusal threshold is compared with.
    `start` and `end`: character offsets into the text of its page."""

    chunk_id: int
    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    text: str
    score: float
    similarity: float
    start: int = 0
    end: int = 0

    @property
    def context(self) -> str:
        return join_context(self.title, self.heading)

    @property
    def in_context(self) -> str:
        return f"{self.context}\n{self.text}"


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer points to. `quote` is a substring of the passage's stored text, byte
    for byte; `passage` is its 1-based number in the answer's passages, the number in the answer's
    `[n]`."""

    document: str
    page: int | None
    quote: str
    passage: int


@dataclass(frozen=True, slots=True)
class PassageContext:
    """A passage where it stands: `before` and `after` are its page's text around it (its
    document's, where the format has no pages), exact. `start` and `end`: of the passage, in
    characters of the page."""

    document: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    before: str
    text: str
    after: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Previous:
    """What a follow-up goes on from: the question before it (`Answer.asked`) and the `chunk_id`s of
    the passages read."""

    question: str
    passages: tuple[int, ...] = ()
