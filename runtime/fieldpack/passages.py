"""The records that travel between the index, the prompt and the reader: chunks, passages,
documents, filters. Knows nothing of files or models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from .figures import is_figure_word

# Begins the heading of a table's later pieces: the column heads, which their text does not hold.
COLUMNS = "Columns: "
MAX_PASSAGES = 1_000  # of one search: the index brings a multiple of these as candidates
MAX_CHUNK_ID = 1 << 62  # chunk ids are below it: SQLite holds no number above 2**63 - 1
_NO_WORD = re.compile(r"[$€£¥()\[\]%+\-–—−|]+")


def join_context(title: str, heading: tuple[str, ...]) -> str:
    """Return title and heading path on one line, repeated parts once: "Fees 2025 > Discounts"."""
    return " > ".join(dict.fromkeys(part for part in (title, *heading) if part))


def without_figures(text: str) -> str:
    """Return `text` with the figures, and the marks between cells, left out of lines that have two
    figures or more; years stay. Prose with a single figure stays as it is."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not any(map(str.isdigit, line)):
            continue
        words = line.split()
        figures = [is_figure_word(word) for word in words]
        if sum(figures) >= 2:
            lines[number] = " ".join(
                word
                for word, figure in zip(words, figures, strict=True)
                if not figure and not _NO_WORD.fullmatch(word)
            )
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the index stores: one piece of a document, its text exactly as the document reader gave
    it.

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
        """The context line, then the text: what a reader gets, and what a chunk's length is counted
        on."""
        return f"{self.context}\n{self.text}"

    @property
    def embedded(self) -> str:
        """The text that is embedded: as `in_context`, but a table's rows without their figures,
        which fill an embedder's context with three tokens each and tell it nothing of what the row
        is about. Figures are found by BM25."""
        return f"{self.context}\n{without_figures(self.text)}"


class Place(NamedTuple):
    """Where a stored chunk stands: all that ranking needs of it. `ordinal`: its number in its
    document; `duplicate_of`: the id of the first chunk, in another document, that says the same. A
    tuple, as a question looks at hundreds."""

    id: int
    document_id: int
    document: str
    ordinal: int
    page: int | None
    duplicate_of: int | None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A stored chunk with its ids; fields as in `Place`."""

    id: int
    chunk: Chunk
    duplicate_of: int | None
    document_id: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What the index knows of a document: `path` below the library's folder, `sha256` of its bytes,
    `date` as YYYY-MM-DD where the file states one, `language` as `fieldpack.language` has it: how
    its words are indexed."""

    path: str
    title: str
    sha256: str
    pages: int
    date: str | None = None
    tags: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents may answer; an empty filter lets all through. `documents`: paths or globs, of
    which one must fit; `folders`: one of them must hold the document, at any depth; `after` and
    `before`: YYYY-MM-DD, inclusive, and a document without a date is left out; `tags`: the document
    must have all of them."""

    documents: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    tags: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.documents or self.folders or self.after or self.before or self.tags)


@dataclass(frozen=True, slots=True)
class Passage:
    """What retrieval returns: a chunk, or neighbours joined. `score`: vectors, words and names
    together, 0 to 1, and above where the question names the document. `similarity`: the cosine
    between question and chunk, -1 to 1, which a refusal threshold is compared with. `start` and
    `end`: character offsets into the text of its page."""

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
        """The title and heading path, on one line."""
        return join_context(self.title, self.heading)

    @property
    def in_context(self) -> str:
        """The context line, then the text."""
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
    """A passage with the text around it: `before` and `after` are exact slices of its page (of its
    document, where the format has no pages). `start` and `end`: of the passage, in characters of
    the page."""

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
    """What a follow-up question refers to: the question before it (`Answer.read_as`) and the
    `chunk_id`s of the passages that were read for it."""

    question: str
    passages: tuple[int, ...] = ()
